# SPDX-License-Identifier: Apache-2.0
"""Files of commands that are replaced as a whole."""

import contextlib
import errno
import os
from pathlib import Path
import stat
import tempfile


def write(path: Path, text: str) -> None:
    """Write a file with mode 0600; others see the former one until it is done.

    :param path: of the file; its directory must exist.
    :param text: what cannot be encoded in UTF-8 becomes question marks.
    :raises OSError: when it cannot be written, or something else than a file,
        such as a link or a device, is in its place; that stays.
    """
    with contextlib.suppress(FileNotFoundError):
        if not stat.S_ISREG(os.lstat(path).st_mode):
            raise OSError(errno.EINVAL, 'it is not a regular file', str(path))
    with tempfile.NamedTemporaryFile(
            'w', encoding='utf-8', errors='replace', dir=path.parent,
            prefix=f'.{path.name}.', delete=False) as f:
        try:
            f.write(text)
            f.flush()
            os.fsync(f.fileno())
            os.replace(f.name, path)
        except BaseException:
            with contextlib.suppress(OSError):
                os.unlink(f.name)
            raise

# SPDX-License-Identifier: Apache-2.0
"""The symbolic links that configfs LUNs consist of.

The directory of a LUN of a TPG holds a link to its backstore, that of a mapped
LUN of a NodeACL a link to a LUN of the TPG
(Documentation/target/tcm_mod_builder.rst).
"""

import contextlib
import errno
import os
from pathlib import Path

from mydriver import exception

#: Name of our links; the kernel accepts any.
LINK = 'mydriver'


def target_of(folder: Path) -> Path | None:
    """Return the symbolic link in a LUN's directory, None if there is none."""
    if not folder.is_dir():
        return None
    return next((p for p in folder.iterdir() if p.is_symlink()), None)


def refuse_foreign(folder: Path, to: Path, what: str) -> None:
    """Raise ForeignObject when a LUN's directory leads elsewhere."""
    link = target_of(folder)
    if link is not None and link.resolve() != to.resolve():
        raise exception.ForeignObject(what, f'it leads to {link.resolve()}')


def ensure(folder: Path, to: Path, what: str) -> None:
    """Create a LUN's directory and its link.

    :param folder: of the LUN.
    :param to: where the link leads.
    :param what: names the LUN in an error.
    :raises ForeignObject: when it leads elsewhere.
    """
    folder.mkdir(exist_ok=True)
    refuse_foreign(folder, to, what)
    if target_of(folder) is None:
        os.symlink(to, folder / LINK)


def refuse_if_mapped(lun: Path) -> None:
    """Raise EBUSY while mapped LUNs lead to a LUN.

    The kernel lets the LUN's own link be removed even then, which would cut
    off a live initiator. But rmdir checks for links to the directory first
    (EBUSY) and for links in it next (ENOTEMPTY): fs/configfs/dir.c,
    configfs_detach_prep.
    """
    try:
        lun.rmdir()
    except FileNotFoundError:
        return
    except OSError as e:
        if e.errno != errno.ENOTEMPTY:
            raise


def remove(folder: Path) -> None:
    """Remove a LUN's link and directory, if they exist."""
    link = target_of(folder)
    if link is not None:
        link.unlink()
    with contextlib.suppress(FileNotFoundError):
        folder.rmdir()

# SPDX-License-Identifier: Apache-2.0
"""LUNs as configfs has them: folders that hold one symbolic link.

A LUN of a TPG leads to its backstore, a mapped LUN of a NodeACL to a LUN of
the TPG (Documentation/target/tcm_mod_builder.rst).
"""

import contextlib
import errno
import os
from pathlib import Path

from mydriver import exception

#: Name of the links that we make; the kernel does not care.
LINK = 'mydriver'


def target_of(folder: Path) -> Path | None:
    """Return the symbolic link in a LUN's folder, None if there is none."""
    if not folder.is_dir():
        return None
    return next((p for p in folder.iterdir() if p.is_symlink()), None)


def refuse_foreign(folder: Path, to: Path, what: str) -> None:
    """Raise ForeignObject when a LUN's folder leads elsewhere."""
    link = target_of(folder)
    if link is not None and link.resolve() != to.resolve():
        raise exception.ForeignObject(what, f'it leads to {link.resolve()}')


def ensure(folder: Path, to: Path, what: str) -> None:
    folder.mkdir(exist_ok=True)
    refuse_foreign(folder, to, what)
    if target_of(folder) is None:
        os.symlink(to, folder / LINK)


def refuse_if_mapped(lun: Path) -> None:
    """Raise EBUSY while mapped LUNs lead to a LUN.

    The kernel lets the LUN's own link go even then, and with it the data of
    a live initiator. But its rmdir looks first for links to the folder
    (EBUSY) and then for links in it (ENOTEMPTY): fs/configfs/dir.c,
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
    link = target_of(folder)
    if link is not None:
        link.unlink()
    with contextlib.suppress(FileNotFoundError):
        folder.rmdir()

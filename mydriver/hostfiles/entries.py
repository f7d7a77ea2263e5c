# SPDX-License-Identifier: Apache-2.0
"""The entries of one directory, by its descriptor.

A descriptor stays with the directory that was checked, whatever is put in its
place meanwhile.
"""

import contextlib
import dataclasses
import errno
import hashlib
import os
import stat

#: Suffix of a file that is not complete. It has a leading dot, so sudo,
#: systemd, udev and the others ignore it.
_NEW = '.mydriver-new'


@dataclasses.dataclass(frozen=True, slots=True)
class Found:
    """A file that exists.

    :param content: its bytes.
    :param mode: its permissions.
    :param uid: its owner.
    :param gid: its group.
    """

    content: bytes
    mode: int
    uid: int
    gid: int

    @property
    def sha256(self) -> str:
        """The digest of the content, in hex."""
        return digest(self.content)


def digest(content: bytes) -> str:
    """Return the SHA-256 of bytes, in hex."""
    return hashlib.sha256(content).hexdigest()


def read(folder: int, name: str) -> Found | None:
    """Return a file; None when there is none.

    :param folder: descriptor of its directory.
    :raises OSError: ELOOP or EISDIR when it is not a regular file.
    """
    _refuse_others(folder, name)
    try:
        opened = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC,
                         dir_fd=folder)
    except FileNotFoundError:
        return None
    with open(opened, 'rb') as file:
        status = os.fstat(opened)
        return Found(file.read(), stat.S_IMODE(status.st_mode),
                     status.st_uid, status.st_gid)


def write(folder: int, name: str, content: bytes, mode: int,
          owner: tuple[int, int]) -> None:
    """Create or replace a file in one step.

    :param folder: descriptor of its directory.
    :param owner: user and group, set if this is root.
    :raises OSError: ELOOP or EISDIR when it is not a regular file.
    """
    _refuse_others(folder, name)
    new = _temporary(name)
    unlink(folder, new)
    try:
        _create(folder, new, content, mode, owner)
        os.rename(new, name, src_dir_fd=folder, dst_dir_fd=folder)
    except BaseException:
        unlink(folder, new)
        raise
    sync(folder)


def remove(folder: int, name: str) -> None:
    """Remove a file, and what an interrupted :func:`write` left of it."""
    tidy(folder, name)
    unlink(folder, name)
    sync(folder)


def tidy(folder: int, name: str) -> None:
    """Remove what an interrupted :func:`write` left of a file.

    Where it left nothing, the filesystem may be read-only.
    """
    new = _temporary(name)
    with contextlib.suppress(FileNotFoundError):
        os.stat(new, dir_fd=folder, follow_symlinks=False)
        os.unlink(new, dir_fd=folder)


def unlink(folder: int, name: str) -> None:
    """Remove a name, if it is there."""
    with contextlib.suppress(FileNotFoundError):
        os.unlink(name, dir_fd=folder)


def sync(folder: int) -> None:
    """Write a directory's names to disk."""
    opened = os.open('.', os.O_RDONLY | os.O_DIRECTORY, dir_fd=folder)
    try:
        os.fsync(opened)
    finally:
        os.close(opened)


def complete(name: str) -> str:
    """Return the name of the file of which one may be an incomplete write."""
    return name.removeprefix('.').removesuffix(_NEW)


def _temporary(name: str) -> str:
    return f'.{name}{_NEW}'


def _refuse_others(folder: int, name: str) -> None:
    """Refuse a name that exists and is not a regular file.

    :raises OSError: ELOOP or EISDIR.
    """
    try:
        mode = os.stat(name, dir_fd=folder, follow_symlinks=False).st_mode
    except FileNotFoundError:
        return
    if stat.S_ISLNK(mode):
        raise OSError(errno.ELOOP, 'it is a symbolic link')
    if not stat.S_ISREG(mode):
        raise OSError(errno.EISDIR, 'it is not a regular file')


def _create(folder: int, name: str, content: bytes, mode: int,
            owner: tuple[int, int]) -> None:
    with open(os.open(name, os.O_WRONLY | os.O_CREAT | os.O_EXCL
                      | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600,
                      dir_fd=folder), 'wb') as file:
        file.write(content)
        if not os.geteuid():
            os.fchown(file.fileno(), *owner)
        os.fchmod(file.fileno(), mode)
        file.flush()
        os.fsync(file.fileno())

# SPDX-License-Identifier: Apache-2.0
"""An open directory of configfs, and what is below it.

pathlib takes most of the time of :mod:`.configfs`, and the way from the root
to an attribute takes a part of the rest. Where thousands of attributes are
read every few seconds, that matters.
"""

from collections.abc import Iterator
import contextlib
import os

from mydriver.privileged.target import links
from mydriver.target import configfs

#: The most that an attribute of configfs can contain (fs/configfs/file.c).
PAGE_BYTES = 4096

#: The most that an attribute can contain that is a flag, a number or the unit
#: serial (drivers/target/target_core_configfs.c). With a buffer of a page, a
#: read takes a tenth longer.
_SHORT_BYTES = 512


class Directory:
    """An open directory; what has gone since then is nothing, and no error.

    Names are relative to it, and may lead further down.

    :param path: its path, which errors name.
    :param fd: its descriptor.
    """

    def __init__(self, path: str, fd: int) -> None:
        self.path = path
        self._fd = fd

    def is_there(self) -> bool:
        """Tell whether it still has its path, and nothing else has it."""
        try:
            return os.path.samestat(os.stat(self.path), os.fstat(self._fd))
        except OSError as e:
            configfs.refuse_unreadable(self.path, e)
            return False

    def names(self, below: str = '.') -> list[str]:
        """Return the names in a directory; none when it has gone.

        :raises TargetError: when it cannot be read.
        """
        try:
            fd = os.open(below, os.O_RDONLY | os.O_DIRECTORY, dir_fd=self._fd)
            try:
                return sorted(os.listdir(fd))
            finally:
                os.close(fd)
        except OSError as e:
            configfs.refuse_unreadable(
                os.path.normpath(f'{self.path}/{below}'), e)
            return []

    def link(self, folder: str) -> str:
        """Return where the link in a LUN's directory leads; empty if nowhere.

        :returns: as the kernel writes it: relative, ending in the names of the
            directories of the object.
        :raises TargetError: when it cannot be read.
        """
        # Mostly it has our name.
        if to := self._leads_to(f'{folder}/{links.LINK}'):
            return to
        return next((to for name in self.names(folder)
                     if (to := self._leads_to(f'{folder}/{name}'))), '')

    def identity(self, name: str) -> tuple[int, int] | None:
        """Return what no other object has, even one that has its name later.

        :param name: of an object or a link, which is not followed.
        :returns: None if it has gone.
        :raises TargetError: when it cannot be read.
        """
        try:
            found = os.lstat(name, dir_fd=self._fd)
        except OSError as e:
            configfs.refuse_unreadable(f'{self.path}/{name}', e)
            return None
        return found.st_ino, found.st_ctime_ns

    def _leads_to(self, name: str) -> str:
        try:
            return os.readlink(name, dir_fd=self._fd)
        except OSError as e:
            configfs.refuse_unreadable_link(f'{self.path}/{name}', e)
            return ''

    def read(self, name: str, most_bytes: int = _SHORT_BYTES) -> bytes:
        """Return the contents of an attribute; empty when it has gone.

        :param most_bytes: more than it can contain.
        :raises TargetError: when it cannot be read.
        """
        try:
            fd = os.open(name, os.O_RDONLY, dir_fd=self._fd)
            try:
                return os.read(fd, most_bytes)
            finally:
                os.close(fd)
        except OSError as e:
            configfs.refuse_unreadable(f'{self.path}/{name}', e)
            return b''


class _Gone(Directory):
    """A directory that is not there."""

    def __init__(self, path: str) -> None:
        super().__init__(path, -1)

    def is_there(self) -> bool:
        return False

    def names(self, below: str = '.') -> list[str]:
        return []

    def link(self, folder: str) -> str:
        return ''

    def identity(self, name: str) -> tuple[int, int] | None:
        return None

    def read(self, name: str, most_bytes: int = _SHORT_BYTES) -> bytes:
        return b''


@contextlib.contextmanager
def opened(path: str) -> Iterator[Directory]:
    """Open a directory for the block; with nothing below it if it has gone.

    :raises TargetError: when it cannot be opened, or may be there though
        configfs is not mounted.
    """
    try:
        fd = os.open(path, os.O_PATH | os.O_DIRECTORY)
    except OSError as e:
        configfs.refuse_unreadable(path, e)
        configfs.exists(path)
        yield _Gone(path)
        return
    try:
        yield Directory(path, fd)
    finally:
        os.close(fd)

# SPDX-License-Identifier: Apache-2.0
"""The directory of a store: opened for each operation, and recognised."""

from collections.abc import Iterator
import contextlib
import errno
import os

from oslo_utils import units

from mydriver import exception
from mydriver.stores import identity

_NO_ROOM = (errno.ENOSPC, errno.EDQUOT)

#: With less than this free, nothing new is created. After a snapshot, guests
#: need room to overwrite data as well, so that a snapshot on a nearly full
#: filesystem would break existing volumes.
_RESERVED_PERCENT = 5
_MOST_RESERVED_BYTES = 16 * units.Gi

_REMEDY = 'Check that its filesystem is mounted there.'


class Directory:
    """The directory of a store, which must not be exchanged for another.

    :param path: absolute path.
    :param record: the id of the store that was there before.
    """

    def __init__(self, path: str, record: identity.Record) -> None:
        self.path = path
        self._record = record
        self._recognised: tuple[int, int] | None = None

    @contextlib.contextmanager
    def work(self, what: str, needed_bytes: int = 0) -> Iterator[int]:
        """Open the directory; turn the system's errors into ours.

        :param what: the operation, for the text of errors.
        :param needed_bytes: room that it needs, for the text of StoreFull.
        :raises ConfigurationError: when it is another directory.
        :raises StoreFull: when the filesystem is full.
        :raises StoreError: for any other error of the system.
        """
        try:
            folder = os.open(self.path, os.O_RDONLY | os.O_DIRECTORY)
            try:
                self._recognise(folder)
                yield folder
            finally:
                os.close(folder)
        except OSError as e:
            if e.errno in _NO_ROOM:
                raise exception.StoreFull(
                    self.path, needed_bytes, self._free_bytes()) from e
            raise exception.StoreError(
                f'{what} in {self.path}', e.strerror or str(e)) from e

    def _recognise(self, folder: int) -> None:
        """Compare the id, unless this directory was recognised before."""
        found = os.fstat(folder)
        place = found.st_dev, found.st_ino
        if place == self._recognised:
            return
        self._record.compare(identity.read_marker(folder), self.path, _REMEDY)
        # Without a record, any directory is accepted.
        self._recognised = place if self._record.known() else None

    def check(self) -> None:
        """Check that it is the same directory, if there is one at all.

        :raises ConfigurationError: when it is another one.
        """
        with contextlib.suppress(exception.StoreError), \
                self.work('look at the store'):
            pass

    def is_known(self) -> bool:
        """Tell whether there is a record, or an id in the directory."""
        with self.work('look for the id of the store') as folder:
            return bool(self._record.known() or identity.read_marker(folder))

    def keep_identity(self) -> None:
        """Record the id of the directory; create one if it has none."""
        with self.work('give the store an id') as folder:
            self._record.write(identity.read_marker(folder)
                               or identity.make_marker(folder))

    def check_room(self, folder: int) -> None:
        """Refuse to make anything new when little room is free.

        :param folder: the open directory.
        :raises StoreFull: with the room that has to be free.
        """
        room = os.fstatvfs(folder)
        reserved_bytes = min(
            room.f_blocks * room.f_frsize * _RESERVED_PERCENT // 100,
            _MOST_RESERVED_BYTES)
        free_bytes = room.f_bavail * room.f_frsize
        if free_bytes < reserved_bytes:
            raise exception.StoreFull(self.path, reserved_bytes, free_bytes)

    @contextlib.contextmanager
    def opened(self, folder: int, name: str, flags: int) -> Iterator[int]:
        """Open a backing, but not through a symbolic link.

        :raises BackingNotFound: when there is none.
        """
        try:
            fd = os.open(name, flags | os.O_NOFOLLOW | os.O_NONBLOCK,
                         dir_fd=folder)
        except FileNotFoundError as e:
            raise exception.BackingNotFound(name, self.path) from e
        try:
            yield fd
        finally:
            os.close(fd)

    def _free_bytes(self) -> int:
        room = os.statvfs(self.path)
        return room.f_bavail * room.f_frsize

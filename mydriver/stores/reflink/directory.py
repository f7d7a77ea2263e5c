# SPDX-License-Identifier: Apache-2.0
"""The folder of a store: opened for each piece of work, and recognised."""

from collections.abc import Iterator
import contextlib
import errno
import os

from mydriver import exception
from mydriver.stores import identity

_NO_ROOM = (errno.ENOSPC, errno.EDQUOT)

#: With less than that free nothing new is made. After a snapshot a guest's
#: next write to a place that it wrote before takes room as well, so that one
#: on a full filesystem would break volumes that do no harm.
_RESERVED_PERCENT = 5
_MOST_RESERVED_BYTES = 16 << 30

_REMEDY = 'See that its filesystem is mounted there.'


class Directory:
    """A folder that has to stay the same one.

    :param path: absolute path.
    :param record: the id of the store that was there before.
    """

    def __init__(self, path: str, record: identity.Record) -> None:
        self.path = path
        self._record = record
        self._recognised: tuple[int, int] | None = None

    @contextlib.contextmanager
    def work(self, what: str, needed_bytes: int = 0) -> Iterator[int]:
        """Give the open folder; turn the system's errors into ours.

        :param what: what is being done, for the error's text.
        :raises ConfigurationError: when it is not the folder that it was.
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
        """Look at the id, unless this very folder was recognised before."""
        found = os.fstat(folder)
        place = found.st_dev, found.st_ino
        if place == self._recognised:
            return
        self._record.compare(identity.read_marker(folder), self.path, _REMEDY)
        # Without a record another folder would do as well.
        self._recognised = place if self._record.known() else None

    def check(self) -> None:
        """See that it is the folder that it was, where there is one at all.

        :raises ConfigurationError: when it is another one.
        """
        with contextlib.suppress(exception.StoreError), \
                self.work('look at the store'):
            pass

    def is_known(self) -> bool:
        """Tell whether there is a record, or an id in the folder."""
        with self.work('look for the id of the store') as folder:
            return bool(self._record.known() or identity.read_marker(folder))

    def keep_identity(self) -> None:
        """From now on no other folder will do."""
        with self.work('give the store an id') as folder:
            self._record.write(identity.read_marker(folder)
                               or identity.make_marker(folder))

    def check_room(self, folder: int) -> None:
        """Refuse to make anything new where little is free.

        :raises StoreFull: with what has to be free.
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
        """Open a backing, never through a symbolic link."""
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

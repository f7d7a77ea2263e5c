# SPDX-License-Identifier: Apache-2.0
"""Copying a backing from one store to another on the same host.

Nothing is logged here: the steps run in native threads, which must not wait
for eventlet's locks.
"""

from collections.abc import Iterator
import contextlib
import errno
import os
import time

from oslo_utils import units

from mydriver import exception, model
from mydriver.stores import base

#: A step of this size takes a fraction of a second on any disk.
STEP_BYTES = 64 * units.Mi

#: A copy that is slower than this, after a grace period, is stuck.
_GRACE_S = 600
_SLOWEST_BYTES_PER_S = units.Mi

_CHUNK_BYTES = units.Mi
_ZEROS = bytes(_CHUNK_BYTES)

#: lseek(2), SEEK_DATA.
_NO_MORE_DATA = errno.ENXIO


class Copy:
    """The copy of one backing; call :meth:`step` until it is done.

    :param source: the store that has the backing.
    :param target: the store that is to have it under the same name. What an
        interrupted attempt left there is replaced.
    :param name: of the backing, which nobody may use meanwhile.
    """

    def __init__(self, source: base.VolumeStore, target: base.VolumeStore,
                 name: str) -> None:
        self._source = source
        self._target = target
        self._name = name
        self.size_bytes = 0
        self.done_bytes = 0
        self.written_bytes = 0
        self._fds: tuple[int, int] = (-1, -1)
        self._deadline = 0.0

    @contextlib.contextmanager
    def begun(self) -> Iterator[bool]:
        """Create the backing in the target; remove it after an error.

        :returns: a context whose value tells whether to call :meth:`step`. It
            is False when the stores share the data.
        :raises StoreError: when both stores are the same place.
        """
        with contextlib.ExitStack() as used:
            device = used.enter_context(_up(self._source, self._name))
            self.size_bytes = device.size_bytes
            # Also where the files cannot be opened: the caller may be able to
            # copy in another way.
            self._clear_target(device.path)
            origin = used.enter_context(open(device.path, 'rb'))
            if self._target.share(origin.fileno(), self._name,
                                  self.size_bytes):
                yield False
                return
            self._target.create(self._name, self.size_bytes)
            try:
                with _up(self._target, self._name) as made, \
                        open(made.path, 'r+b') as copy:
                    self._fds = origin.fileno(), copy.fileno()
                    self._deadline = (
                        time.monotonic() + _GRACE_S
                        + self.size_bytes / _SLOWEST_BYTES_PER_S)
                    yield True
                    # This makes the data durable.
                    self._target.extend(self._name, self.size_bytes)
            except BaseException:
                self._target.delete(self._name)
                raise

    def _clear_target(self, source_path: str) -> None:
        """Remove what an earlier attempt left, unless it is the source."""
        if not self._target.exists(self._name):
            return
        with _up(self._target, self._name) as earlier:
            same = os.path.samefile(source_path, earlier.path)
        if same:
            raise exception.StoreError(
                f'copy {self._name} to {self._target.location}',
                f'it is the same place as {self._source.location}')
        self._target.delete(self._name)

    def step(self, most_bytes: int = STEP_BYTES) -> bool:
        """Copy the next part, but no holes and no zeros.

        :param most_bytes: how much to read.
        :returns: False when the copy is complete.
        :raises WaitTimeout: when the copy is stuck.
        :raises StoreError: when the source is too short.
        """
        if time.monotonic() > self._deadline:
            raise exception.WaitTimeout(
                f'a copy of {self._name}, {self.done_bytes} of '
                f'{self.size_bytes} bytes done', round(
                    _GRACE_S + self.size_bytes / _SLOWEST_BYTES_PER_S))
        source, target = self._fds
        end = self._next_data(source) + most_bytes
        while self.done_bytes < min(end, self.size_bytes):
            data = os.pread(source, min(
                _CHUNK_BYTES, self.size_bytes - self.done_bytes),
                self.done_bytes)
            if not data:
                raise exception.StoreError(
                    f'copy {self._name}', f'it ends at {self.done_bytes} of '
                    f'{self.size_bytes} bytes')
            if data != _ZEROS[:len(data)]:
                _write(target, data, self.done_bytes)
                self.written_bytes += len(data)
            self.done_bytes += len(data)
        return self.done_bytes < self.size_bytes

    def _next_data(self, source: int) -> int:
        """Skip a hole, if the source reports holes; return its end."""
        if self.done_bytes < self.size_bytes:
            try:
                self.done_bytes = os.lseek(source, self.done_bytes,
                                           os.SEEK_DATA)
            except OSError as e:
                # No more data; other errors come from devices, without holes.
                if e.errno == _NO_MORE_DATA:
                    self.done_bytes = self.size_bytes
        return self.done_bytes


@contextlib.contextmanager
def _up(store: base.VolumeStore, name: str) -> Iterator[model.BackingDevice]:
    """Bring a backing up for as long as its path is needed."""
    device = store.bring_up(name)
    try:
        yield device
    finally:
        store.let_down(name)


def _write(fd: int, data: bytes, offset: int) -> None:
    """Write all data at an offset."""
    view = memoryview(data)
    while view:
        written = os.pwrite(fd, view, offset)
        view, offset = view[written:], offset + written

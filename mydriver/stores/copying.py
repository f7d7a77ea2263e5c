# SPDX-License-Identifier: Apache-2.0
"""Carrying a backing from one store of this host to another.

Nothing here imports cinder, and nothing logs: the steps run in native
threads, where eventlet's locks must not be waited for.
"""

from collections.abc import Iterator
import contextlib
import errno
import os
import time

from mydriver import exception
from mydriver.stores import base

MIB = 1024 ** 2

#: A step of this size is a fraction of a second on any disk.
STEP_BYTES = 64 * MIB

#: Slower than this, once the grace is over, is taken for stuck.
_GRACE_S = 600
_SLOWEST_BYTES_PER_S = MIB

_CHUNK_BYTES = MIB
_ZEROS = bytes(_CHUNK_BYTES)

#: lseek(2), SEEK_DATA.
_NO_MORE_DATA = errno.ENXIO


class Copy:
    """One backing on its way; call :meth:`step` until it is done.

    :param source: the store that has it.
    :param target: the store that shall have it, under the same name. What a
        try that was cut off left there is replaced.
    :param name: of the backing, which nobody uses meanwhile.
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
        """Prepare the target, and take it back when an error comes.

        :returns: a context that says whether there is something to copy; the
            contents may also have been shared at once.
        :raises StoreError: when both are the same place.
        """
        device = self._source.device(self._name)
        self.size_bytes = device.size_bytes
        self._clear_target(device.path)
        with contextlib.ExitStack() as files:
            origin = files.enter_context(open(device.path, 'rb'))
            if self._target.share(origin.fileno(), self._name,
                                  self.size_bytes):
                yield False
                return
            self._target.create(self._name, self.size_bytes)
            try:
                copy = files.enter_context(open(
                    self._target.device(self._name).path, 'r+b'))
                self._fds = origin.fileno(), copy.fileno()
                self._deadline = (time.monotonic() + _GRACE_S
                                  + self.size_bytes / _SLOWEST_BYTES_PER_S)
                yield True
                # Also makes durable what was written.
                self._target.extend(self._name, self.size_bytes)
            except BaseException:
                self._target.delete(self._name)
                raise

    def _clear_target(self, source_path: str) -> None:
        """Remove what an earlier try left, unless it is the source itself."""
        if not self._target.exists(self._name):
            return
        if os.path.samefile(source_path,
                            self._target.device(self._name).path):
            raise exception.StoreError(
                f'copy {self._name} to {self._target.location}',
                f'that is {self._source.location} by another name')
        self._target.delete(self._name)

    def step(self, most_bytes: int = STEP_BYTES) -> bool:
        """Copy the next part, without holes and zeros.

        :param most_bytes: to be read.
        :returns: False when it was the last one.
        :raises WaitTimeout: when it takes far too long.
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
        """Skip a hole, where the source can tell; return where it ended."""
        if self.done_bytes < self.size_bytes:
            try:
                self.done_bytes = os.lseek(source, self.done_bytes,
                                           os.SEEK_DATA)
            except OSError as e:
                # No data beyond; or a device, which knows no holes.
                if e.errno == _NO_MORE_DATA:
                    self.done_bytes = self.size_bytes
        return self.done_bytes


def _write(fd: int, data: bytes, offset: int) -> None:
    """Write all of it."""
    view = memoryview(data)
    while view:
        written = os.pwrite(fd, view, offset)
        view, offset = view[written:], offset + written

# SPDX-License-Identifier: Apache-2.0
"""LVM in a node, for tests: a volume group on the spare disk."""

from collections.abc import Iterator, Sequence
import contextlib
import mmap
import os
from pathlib import Path
import threading
import time
import unittest
from unittest import mock

from lab import process
from mydriver import privileged
from mydriver.privileged.stores import lvm
from tests.functional import base, lio

GROUP = 'vg-test'
POOL = f'{GROUP}/mydriver'

#: Small extents, so that tests need not write much.
EXTENT = '512k'


def make_group(extent: str = EXTENT) -> None:
    """Make a volume group of the spare disk."""
    os.environ['LVM_SUPPRESS_FD_WARNINGS'] = '1'
    base.run('modprobe', 'dm-thin-pool')
    base.run('vgcreate', '-q', '-s', extent, GROUP, base.DISK)


def remove_group() -> None:
    """Remove it with all that it holds."""
    base.run('vgremove', '-q', '-f', '-y', GROUP)
    base.run('pvremove', '-q', '-f', '-y', base.DISK)


def remove_volumes() -> None:
    """Remove all volumes of the pool."""
    base.run('lvremove', '-q', '-f', '-S', 'pool_lv=mydriver', GROUP)


def use(test: unittest.TestCase) -> None:
    """Run privileged verbs in this very process."""
    lio.grant(test, ours=GROUP, small=f'{GROUP}/small')
    privileged.target_context.set_client_mode(False)
    test.addCleanup(privileged.target_context.set_client_mode, True)


def device_of(path: str) -> str:
    """Return device-mapper's name of a logical volume."""
    name = Path(path).resolve().name
    return Path(f'/sys/block/{name}/dm/name').read_text().strip()


@contextlib.contextmanager
def timed_commands() -> Iterator[list[float]]:
    """Give a list that grows by the seconds of each command of LVM's."""
    spent: list[float] = []
    real = lvm._command

    def timed(*args: object, **kwargs: object) -> str:
        started = time.monotonic()
        try:
            return real(*args, **kwargs)
        finally:
            spent.append(time.monotonic() - started)

    with mock.patch.object(lvm, '_command', timed):
        yield spent


class OrderedWriter:
    """Writes a rising number to several devices, in order, past all caches.

    The next device gets a number only when the one before it has it. So at
    any moment each has what the next one has, or one more.

    :param paths: of the devices.
    """

    def __init__(self, paths: Sequence[str]) -> None:
        self.count = 0
        self._files = [os.open(p, os.O_RDWR | os.O_DIRECT | os.O_DSYNC)
                       for p in paths]
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._write)

    def __enter__(self) -> 'OrderedWriter':
        self._thread.start()
        return self

    def __exit__(self, *_exc: object) -> None:
        self._stop.set()
        self._thread.join()
        for fd in self._files:
            os.close(fd)

    def wait_for(self, count: int) -> None:
        """Wait until so many numbers are written."""
        process.wait_for(lambda: self.count >= count, 'the writer', 60)

    def _write(self) -> None:
        with mmap.mmap(-1, 4096) as page:  # O_DIRECT wants it aligned
            while not self._stop.is_set():
                page[:8] = (self.count + 1).to_bytes(8, 'big')
                for fd in self._files:
                    os.pwrite(fd, page, 0)
                self.count += 1


def count_in(path: str) -> int:
    """Return the number that a device has."""
    with open(path, 'rb') as f:
        return int.from_bytes(f.read(8), 'big')

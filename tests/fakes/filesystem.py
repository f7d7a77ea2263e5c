# SPDX-License-Identifier: Apache-2.0
"""Folders in memory, and stand-ins for FICLONE on them."""

from collections.abc import Iterator
import contextlib
import os
import shutil
import tempfile
import unittest

from mydriver.stores.reflink import probe
from tests.contract import store as contract

#: tmpfs has files without a name (O_TMPFILE) on every kernel.
MEMORY = '/dev/shm'
NOBODY = 65534


def copy(source_fd: int, target_fd: int) -> None:
    """Stand in for FICLONE where extents cannot be shared."""
    size_bytes = os.fstat(source_fd).st_size
    os.ftruncate(target_fd, size_bytes)
    data = os.pread(source_fd, min(size_bytes, 4 * contract.MIB), 0)
    if data.strip(b'\0'):
        os.pwrite(target_fd, data, 0)


def folder(case: unittest.TestCase) -> str:
    """Return a new folder in memory, gone after the test."""
    path = tempfile.mkdtemp(prefix='mydriver-', dir=MEMORY)
    case.addCleanup(shutil.rmtree, path)
    return path


@contextlib.contextmanager
def other_folder(path: str) -> Iterator[None]:
    """Put an empty folder in the place of another one."""
    os.rename(path, f'{path}-away')
    os.mkdir(path)
    yield
    shutil.rmtree(path)
    os.rename(f'{path}-away', path)


def failing(number: int) -> probe.Clone:
    """Return a clone function that fails as the kernel does."""
    def clone(source_fd: int, target_fd: int) -> None:
        raise OSError(number, os.strerror(number))
    return clone

# SPDX-License-Identifier: Apache-2.0
"""Directories in memory, and substitutes for FICLONE on them."""

from collections.abc import Iterator
import contextlib
import os
import shutil
import tempfile
import unittest

from mydriver.stores.reflink import probe

#: A tmpfs, which supports O_TMPFILE on every kernel.
MEMORY = '/dev/shm'
NOBODY = 65534

#: How much of a file :func:`copy` copies.
_COPIED_BYTES = 4 * 1024 ** 2


def copy(source_fd: int, target_fd: int) -> None:
    """Copy the beginning of a file, in place of FICLONE.

    :param source_fd: the file to copy.
    :param target_fd: an empty file, extended to the source's size.
    """
    size_bytes = os.fstat(source_fd).st_size
    os.ftruncate(target_fd, size_bytes)
    data = os.pread(source_fd, min(size_bytes, _COPIED_BYTES), 0)
    if data.strip(b'\0'):
        os.pwrite(target_fd, data, 0)


def folder(case: unittest.TestCase) -> str:
    """Return a new directory in memory, which is removed after the test."""
    path = tempfile.mkdtemp(prefix='mydriver-', dir=MEMORY)
    case.addCleanup(shutil.rmtree, path)
    return path


@contextlib.contextmanager
def other_folder(path: str) -> Iterator[None]:
    """Replace a directory with an empty one for the duration."""
    os.rename(path, f'{path}-away')
    os.mkdir(path)
    yield
    shutil.rmtree(path)
    os.rename(f'{path}-away', path)


def failing(number: int) -> probe.Clone:
    """Return a substitute for FICLONE that fails.

    :param number: the errno.
    """
    def clone(source_fd: int, target_fd: int) -> None:
        raise OSError(number, os.strerror(number))
    return clone

# SPDX-License-Identifier: Apache-2.0
"""Each line of a log is read once, however the log is rotated."""

import bz2
import gzip
import lzma
import os
from pathlib import Path
import shutil
import tempfile
import unittest

import hypothesis
from hypothesis import strategies as st

from mydriver.trace import following

WORD = b'event'
MOST = 64 << 20
PACKED = {'gz': gzip.compress, 'xz': lzma.compress, 'bz2': bz2.compress}


class FollowingTestCase(unittest.TestCase):
    """A log, and its rotated files."""

    def setUp(self):
        super().setUp()
        self.folder = Path(self.enterContext(tempfile.TemporaryDirectory()))
        self.log = self.folder / 'cinder-volume.log'
        self.log.touch()
        self.place = None
        self.gaps = self.written = 0

    def write(self, count=1, path=None, other=b'another line\n'):
        """Write events between other lines."""
        with open(path or self.log, 'ab') as f:
            for _ in range(count):
                f.write(b'%sevent %d\n' % (other, self.written))
                self.written += 1

    def read(self, most=MOST):
        """Return the numbers of the events that are new."""
        follower = following.Follower(self.log, self.place)
        try:
            blocks = list(follower.blocks(WORD, most))
        finally:
            self.place = follower.place
            self.gaps += follower.is_gap
        return [int(line.split()[1]) for block in blocks
                for line in block.split(b'\n') if line]

    def rename(self):
        """Rotate by renaming; the service goes on in a new file."""
        self.shift()
        self.log.rename(self.rotated(1))
        self.log.touch()

    def copytruncate(self):
        """Rotate by copying; the service goes on in the same file."""
        self.shift()
        shutil.copy(self.log, self.rotated(1))
        os.truncate(self.log, 0)

    def shift(self):
        """Rename the rotated files."""
        for n in range(8, 0, -1):
            for packed in ('', '.gz', '.xz', '.bz2'):
                path = Path(f'{self.rotated(n)}{packed}')
                if path.exists():
                    path.rename(f'{self.rotated(n + 1)}{packed}')

    def compress(self, n=1, *, ending='gz', is_done=True):
        """Compress a rotated file, which keeps its time."""
        path = self.rotated(n)
        status = path.stat()
        packed = Path(f'{path}.{ending}')
        packed.write_bytes(PACKED[ending](path.read_bytes()))
        os.utime(packed, ns=(status.st_atime_ns, status.st_mtime_ns))
        if is_done:
            path.unlink()

    def rotated(self, n):
        return self.folder / f'cinder-volume.log.{n}'


class FollowingTest(FollowingTestCase):
    """One way after the other."""

    def setUp(self):
        super().setUp()
        self.write(5, other=b'x' * 300 + b'\n')
        self.assertEqual([], self.read())

    def test_it_begins_at_the_end(self):
        self.assertEqual([], self.read())
        self.write(2)
        self.assertEqual([5, 6], self.read())
        self.assertEqual([], self.read())

    def test_a_line_that_is_being_written(self):
        with open(self.log, 'ab') as f:
            f.write(b'event 5')
        self.assertEqual([], self.read())
        with open(self.log, 'ab') as f:
            f.write(b'0 of many\n')
        self.assertEqual([50], self.read())

    def test_it_begins_within_a_line_that_is_being_written(self):
        self.place = None
        with open(self.log, 'ab') as f:
            f.write(b'event 5')
        self.assertEqual([], self.read())
        with open(self.log, 'ab') as f:
            f.write(b'0\n')
        self.assertEqual([50], self.read())

    def test_a_new_file(self):
        self.write(2)
        self.rename()
        self.write(2)
        self.assertEqual([5, 6, 7, 8], self.read())
        self.assertEqual([], self.read())

    def test_the_service_still_writes_to_the_old_file(self):
        self.rename()
        self.log.unlink()
        self.write(1, self.rotated(1))
        self.assertEqual([5], self.read())
        self.write(1, self.rotated(1))
        self.log.touch()
        self.write()
        self.assertEqual([6, 7], self.read())

    def test_the_service_goes_on_in_the_old_file(self):
        """Until it is told of the new one, which is there already."""
        self.write()
        self.rename()
        with open(self.rotated(1), 'ab') as f:
            f.write(b'event 6')
        self.assertEqual([5], self.read())
        self.written = 7
        with open(self.rotated(1), 'ab') as f:
            f.write(b'0\n')
        self.write(1, self.rotated(1))
        self.write()
        self.assertEqual([60, 7, 8], self.read())
        self.assertEqual(0, self.gaps)

    def test_a_new_file_that_stays_empty(self):
        """What is compressed is not read again and again."""
        self.write()
        self.rename()
        self.compress()
        self.assertEqual([5], self.read())
        self.assertEqual(self.log.stat().st_ino, self.place.inode)
        self.write()
        self.assertEqual([6], self.read())

    def test_several_new_files(self):
        for _ in range(3):
            self.write()
            self.rename()
        self.write()
        self.assertEqual([5, 6, 7, 8], self.read())

    def test_compressed_files(self):
        self.write(2)
        self.rename()
        self.compress()
        self.write(2)
        self.rename()
        self.write(1)
        self.assertEqual([5, 6, 7, 8, 9], self.read())

    def test_while_a_file_is_being_compressed(self):
        self.write()
        self.rename()
        self.compress(is_done=False)
        self.write()
        self.assertEqual([5, 6], self.read())

    def test_a_copy(self):
        self.write(2)
        self.copytruncate()
        self.assertEqual([5, 6], self.read())
        self.write()
        self.assertEqual([7], self.read())

    def test_a_copy_that_lacks_what_was_read(self):
        """Lines that came between the copy and the cut, and were read."""
        shutil.copy(self.log, self.rotated(1))
        self.write()
        self.assertEqual([5], self.read())
        os.truncate(self.log, 0)
        self.write()
        self.assertEqual([6], self.read())
        self.assertEqual(0, self.gaps)

    def test_the_same_file_has_grown_longer_than_it_was(self):
        self.copytruncate()
        self.write(50)
        self.assertEqual(list(range(5, 55)), self.read())

    def test_names_with_dates(self):
        for name in ('cinder-volume.log-20261127',
                     'cinder-volume-20261128.log',
                     'cinder-volume.log-2026-11-29.gz'):
            self.write()
            self.log.rename(self.folder / name)
            if name.endswith('gz'):
                (self.folder / name).write_bytes(
                    gzip.compress((self.folder / name).read_bytes()))
            self.write()
        self.assertEqual([5, 6, 7, 8, 9, 10], self.read())

    def test_names_with_times(self):
        """As oslo.log's rotation by hours, minutes and seconds makes them."""
        for suffix in ('2026-11-27_10', '2026-11-27_10-05',
                       '2026-11-27_10-05-09'):
            self.write()
            self.log.rename(self.folder / f'cinder-volume.log.{suffix}')
            self.write()
        self.assertEqual([5, 6, 7, 8, 9, 10], self.read())
        self.assertEqual(0, self.gaps)

    def test_logs_of_others(self):
        for name in ('cinder-volume.log.old', 'cinder-volume-backup.log',
                     'cinder-volume2.log', 'other.log.1'):
            self.write(1, self.folder / name)
        self.written = 5
        self.rename()
        self.write()
        self.assertEqual([5], self.read())

    def test_a_lost_file(self):
        self.write()
        self.log.unlink()
        self.write(2)
        self.assertEqual([6, 7], self.read())
        self.assertEqual(1, self.gaps)
        self.write()
        self.assertEqual([8], self.read())
        self.assertEqual(1, self.gaps)

    def test_lines_that_were_cut_off(self):
        os.truncate(self.log, self.log.stat().st_size - 9)
        self.assertEqual([], self.read())
        self.assertEqual(1, self.gaps)
        self.write()
        self.assertEqual([5], self.read())

    def test_an_empty_log_that_is_renamed(self):
        self.place = None
        os.truncate(self.log, 0)
        self.assertEqual([], self.read())
        self.write()
        self.rename()
        self.write()
        self.assertEqual([5, 6], self.read())

    def test_there_is_no_log(self):
        self.log.unlink()
        for place in (None, self.place):
            self.place = place
            with self.assertRaises(FileNotFoundError):
                self.read()

    def test_no_file(self):
        self.log.unlink()
        os.mkfifo(self.log)
        with self.assertRaisesRegex(OSError, 'no regular file'):
            self.read()

    def test_any_compression(self):
        for ending in PACKED:
            first = self.written
            self.write()
            self.rename()
            self.compress(ending=ending)
            self.assertEqual([first], self.read())
            self.write()
            self.rename()
            self.compress(ending=ending, is_done=False)
            self.write()
            self.assertEqual([first + 1, first + 2], self.read())
        self.assertEqual(0, self.gaps)

    def test_a_damaged_rotated_file(self):
        self.write()
        self.rename()
        self.compress()
        path = Path(f'{self.rotated(1)}.gz')
        whole = path.read_bytes()
        path.write_bytes(whole[:-9])
        with self.assertRaises(EOFError):
            self.read()
        path.write_bytes(whole)
        self.assertEqual([5], self.read())

    def test_much_is_read_in_parts(self):
        self.write(3, other=b'x' * (1 << 20) + b'\n')
        self.rename()
        self.write(3, other=b'x' * (1 << 20) + b'\n')
        parts = [self.read(1 << 20) for _ in range(9)]
        self.assertEqual(list(range(5, 11)),
                         [n for part in parts for n in part])
        self.assertLess(4, len(list(filter(None, parts))))

    def test_a_line_that_does_not_end(self):
        with open(self.log, 'ab') as f:
            f.write(b'x' * (5 << 20))
        self.assertEqual([], self.read())
        self.assertLess(4 << 20, self.place.offset)
        with open(self.log, 'ab') as f:
            f.write(b'\n')
        self.write()
        self.assertEqual([5], self.read())

    def test_what_was_read_is_not_read_again(self):
        """A log of 1 GiB; it has holes, which read as zeros."""
        os.truncate(self.log, 1 << 30)
        with open(self.log, 'ab') as f:
            f.write(b'\n')
        self.place = None
        before = _read_bytes()
        self.assertEqual([], self.read())
        for n in range(20):
            self.write()
            self.assertEqual([5 + n], self.read())
        self.assertLess(_read_bytes() - before, 2 << 20)


class EmptyTest(FollowingTestCase):
    """A log that is empty at the first look."""

    def test_it_grows_and_is_copied_and_cut(self):
        self.assertEqual([], self.read())
        self.write(2)
        self.copytruncate()
        self.write()
        self.assertEqual([0, 1, 2], self.read())
        self.assertEqual(0, self.gaps)

    def test_what_was_rotated_before_is_not_read(self):
        self.write(2)
        self.rename()
        self.assertEqual([], self.read())
        self.write()
        self.copytruncate()
        self.compress()
        self.assertEqual([2], self.read())
        self.assertEqual(0, self.gaps)


    def test_it_grows_and_is_gone(self):
        self.assertEqual([], self.read())
        self.write()
        self.rename()
        self.write()  # as another file, while the first one is there
        self.rotated(1).unlink()
        self.assertEqual([1], self.read())
        self.assertEqual(1, self.gaps)


class AnyOrderTest(unittest.TestCase):
    """Whatever happens in whatever order, each event is read once."""

    @hypothesis.settings(deadline=None, max_examples=60)
    @hypothesis.given(st.lists(st.sampled_from((
        'write', 'write', 'rename', 'copytruncate', 'compress', 'read',
        'part')), max_size=25))
    @hypothesis.example(
        ['rename', 'compress', 'read', 'write', 'copytruncate'])
    @hypothesis.example(
        ['rename', 'rename', 'read', 'write', 'compress', 'rename'])
    @hypothesis.example(['copytruncate', 'compress', 'read', 'rename'])
    def test_each_event_once(self, steps):
        its = FollowingTestCase()
        its.setUp()
        try:
            its.write()  # an empty one cannot be told from others
            read = its.read()
            for step in steps:
                if step == 'write':
                    its.write(3)
                elif step == 'read':
                    read += its.read()
                elif step == 'part':
                    read += its.read(1)
                elif step == 'compress':
                    if its.rotated(1).exists():
                        its.compress()
                elif not list(its.folder.glob('*.log.8*')):  # room for it
                    getattr(its, step)()
            for _ in range(12):
                read += its.read(1)
            self.assertEqual(list(range(1, its.written)), read)
            self.assertEqual(0, its.gaps)
        finally:
            its.doCleanups()


def _read_bytes():
    """Return how many bytes this process has read (proc(5))."""
    text = Path('/proc/self/io').read_text()
    return int(text.split()[1])

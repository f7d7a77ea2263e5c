# SPDX-License-Identifier: Apache-2.0
"""Opening a directory: the caller decides about each link on the way."""

import contextlib
import errno
import os
from pathlib import Path
import tempfile
import unittest

from mydriver import folders


class OpenFolderTest(unittest.TestCase):
    """What is opened, and what is asked."""

    def setUp(self):
        super().setUp()
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = Path(folder.name).resolve()
        self.real = self.folder / 'real'
        self.real.mkdir()
        self.asked = []

    def opened(self, path, **options):
        fd = folders.open_folder(
            str(path), lambda *said: self.asked.append(
                (said[0], said[2], said[3])), **options)
        self.addCleanup(os.close, fd)
        return fd

    def descriptors(self):
        """Return how many directories on the way are open.

        Others of the process come and go.
        """
        way = {str(p) for p in (self.real, *self.real.parents)}
        found = []
        for fd in os.listdir('/proc/self/fd'):
            with contextlib.suppress(FileNotFoundError):
                found.append(os.readlink(f'/proc/self/fd/{fd}'))
        return sum(name in way for name in found)

    def assert_real(self, fd):
        self.assertTrue(os.path.samestat(os.fstat(fd), self.real.stat()))

    def test_another_root(self):
        (self.folder / 'absolute').symlink_to('/real')
        for path in ('/real', 'absolute', '/absolute/.'):
            self.assert_real(self.opened(path, root=str(self.folder)))
        self.assertEqual([('absolute', '/real', True)] * 2, self.asked)

    def test_a_root_may_be_named_by_a_link(self):
        (self.folder / 'link').symlink_to('real')
        self.assert_real(self.opened('/', root=f'{self.folder}/link'))
        self.assertEqual([], self.asked)

    def test_without_links(self):
        self.assert_real(self.opened(f'{self.folder}/.//real/'))
        self.assertEqual([], self.asked)

    def test_links_that_are_accepted_are_followed(self):
        (self.folder / 'relative').symlink_to('real/../real')
        (self.folder / 'absolute').symlink_to(self.folder)
        self.assert_real(self.opened(self.folder / 'absolute/relative'))
        self.assertEqual([('absolute', str(self.folder), False),
                          ('relative', 'real/../real', True)], self.asked)

    def test_a_link_that_is_refused_is_not_followed(self):
        (self.folder / 'link').symlink_to('real')

        def refuse(*_said):
            raise PermissionError
        before = self.descriptors()
        with self.assertRaises(PermissionError):
            folders.open_folder(f'{self.folder}/link', refuse)
        self.assertEqual(before, self.descriptors())

    def test_links_without_end(self):
        (self.folder / 'loop').symlink_to('loop')
        before = self.descriptors()
        with self.assertRaises(OSError) as caught:
            self.opened(self.folder / 'loop')
        self.assertEqual(errno.ELOOP, caught.exception.errno)
        self.assertEqual(folders.MAX_LINKS, len(self.asked))
        self.assertEqual(before, self.descriptors())

    def test_what_is_missing(self):
        with self.assertRaises(FileNotFoundError):
            self.opened(self.folder / 'nothing')

    def test_each_folder_on_the_way_is_shown(self):
        seen = []
        self.opened(self.real, on_step=lambda fd: seen.append(
            os.readlink(f'/proc/self/fd/{fd}')))
        self.assertEqual(
            ['/', *(str(p) for p in reversed(self.real.parents))][1:], seen)

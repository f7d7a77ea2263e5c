# SPDX-License-Identifier: Apache-2.0
"""Who can change what a path leads to."""

import os
from pathlib import Path
import stat
import tempfile
import unittest
from unittest import mock

import ddt

from mydriver import exception
from mydriver.privileged import owners


def status(kind, mode, uid=0, gid=0):
    """Return a file's status."""
    return os.stat_result((kind | mode, 0, 0, 1, uid, gid, 0, 0, 0, 0))


@ddt.ddt
class OwnerTest(unittest.TestCase):
    """Who may change a file, or put another one in its place."""

    def check(self, *steps):
        """Check a file to which these lead."""
        with mock.patch.object(owners, '_steps', return_value=steps):
            owners.check_owner('/etc/cinder/cinder.conf')

    @ddt.data(
        (status(stat.S_IFREG, 0o640, 0, 120),),
        (status(stat.S_IFREG, 0o664, 0, 0),),
        (status(stat.S_IFDIR, 0o1777), status(stat.S_IFREG, 0o644)),
        (status(stat.S_IFLNK, 0o777), status(stat.S_IFREG, 0o644)))
    def test_roots(self, steps):
        self.check(*(('/etc', s) for s in steps))

    @ddt.data(
        ('belongs to user id 120', status(stat.S_IFREG, 0o640, 120, 0)),
        ('mode 660', status(stat.S_IFREG, 0o660, 0, 120)),
        ('mode 646', status(stat.S_IFREG, 0o646)),
        ('belongs to user id 120', status(stat.S_IFDIR, 0o755, 120)),
        ('mode 775', status(stat.S_IFDIR, 0o775, 0, 120)),
        ('mode 777', status(stat.S_IFDIR, 0o777)),
        ('belongs to user id 120', status(stat.S_IFLNK, 0o777, 120)))
    @ddt.unpack
    def test_not_roots(self, problem, found):
        with self.assertRaises(exception.ConfigurationError) as caught:
            self.check(('/', status(stat.S_IFDIR, 0o755)), ('/a', found))
        text = str(caught.exception)
        self.assertIn(f'/a {problem}' if 'user' in problem else problem, text)
        self.assertRegex(
            text, 'See where the link /a leads' if stat.S_ISLNK(
                found.st_mode) else r'Run chown -h root(:\S+)? /a\b|'
            "Give it to root and to the group of the service's")
        self.assertIn('/etc/cinder/cinder.conf', text)

    def test_each_step_is_looked_at(self):
        with tempfile.TemporaryDirectory() as folder:
            real = Path(folder, 'real')
            real.mkdir()
            (real / 'file').touch()
            link = Path(folder, 'link')
            link.symlink_to('real')
            steps = [path for path, _found in owners._steps(f'{link}/file')]
        self.assertEqual([str(link), str(real), f'{real}/file'], steps[-3:])
        self.assertEqual('/', steps[0])

    def test_a_loop_of_links(self):
        with tempfile.TemporaryDirectory() as folder:
            link = Path(folder, 'link')
            link.symlink_to(link)
            with self.assertRaisesRegex(exception.ConfigurationError,
                                        'too many links'):
                list(owners._steps(str(link)))


class OpenFolderTest(unittest.TestCase):
    """A directory is reached by root's links only."""

    def setUp(self):
        super().setUp()
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = Path(folder.name)
        (self.folder / 'real').mkdir()

    def opened(self, path):
        """Return the number of the directory's inode."""
        fd = owners.open_folder(str(path))
        self.addCleanup(os.close, fd)
        return os.fstat(fd).st_ino

    def test_a_folder(self):
        self.assertEqual((self.folder / 'real').stat().st_ino,
                         self.opened(self.folder / 'real'))

    def test_links(self):
        link = self.folder / 'link'
        link.symlink_to('real')
        for uid in (os.getuid(), 65534):
            if os.getuid() == 0:
                os.chown(link, uid, uid, follow_symlinks=False)
            if link.lstat().st_uid:
                with self.assertRaisesRegex(exception.RequestRefused,
                                            'link is a link of user id'):
                    self.opened(link)
            else:
                self.assertEqual((self.folder / 'real').stat().st_ino,
                                 self.opened(link))

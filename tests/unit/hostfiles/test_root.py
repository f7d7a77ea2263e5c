# SPDX-License-Identifier: Apache-2.0
"""Files below a root directory."""

import os
import stat
from unittest import mock

from mydriver import exception
from mydriver.hostfiles import root as roots
from tests.fakes import hostroot


class WriteTest(hostroot.RootTestCase):
    """Files are written in one step."""

    def test_content_and_mode(self):
        self.root.write('/etc/a', b'text', 0o440)
        found = self.root.read('/etc/a')
        self.assertEqual((b'text', 0o440, os.geteuid()),
                         (found.content, found.mode, found.uid))

    def test_umask_does_not_matter(self):
        self.addCleanup(os.umask, os.umask(0o077))
        self.root.write('/etc/a', b'', 0o644)
        self.root.make_folder('/etc/b', 0o755)
        os.umask(0)
        self.root.write('/etc/c', b'', 0o600)
        modes = [stat.S_IMODE((self.folder / 'etc' / n).stat().st_mode)
                 for n in 'abc']
        self.assertEqual([0o644, 0o755, 0o600], modes)

    def test_it_has_its_mode_before_its_name(self):
        seen = []
        rename = os.rename

        def look(old, new, **folders):
            status = os.stat(old, dir_fd=folders['src_dir_fd'])
            seen.append((new, stat.S_IMODE(status.st_mode), status.st_size))
            rename(old, new, **folders)

        with mock.patch.object(os, 'rename', look):
            self.root.write('/etc/sudoers.d/mydriver-a', b'text', 0o440)
        self.assertEqual([('mydriver-a', 0o440, 4)], seen)

    def test_what_an_interruption_leaves_is_ignored_by_sudo(self):
        """It skips names with a dot; and the next call cleans up."""
        before = self.tree()
        with mock.patch.object(os, 'rename', side_effect=KeyboardInterrupt), \
                mock.patch.object(os, 'unlink'), \
                self.assertRaises(KeyboardInterrupt):
            self.root.write('/etc/sudoers.d/mydriver-a', b'text', 0o440)
        left, = os.listdir(self.folder / 'etc/sudoers.d')
        self.assertIn('.', left)
        self.root.write('/etc/sudoers.d/mydriver-a', b'text', 0o440)
        self.assertEqual(['mydriver-a'],
                         os.listdir(self.folder / 'etc/sudoers.d'))
        self.root.remove('/etc/sudoers.d/mydriver-a')
        self.assertEqual(before, self.tree())

    def test_a_failure_leaves_nothing(self):
        self.put('/etc/a', 'old')
        before = self.tree()
        with mock.patch.object(os, 'fsync', side_effect=OSError(28, 'full')), \
                self.assertRaisesRegex(exception.ConfigurationError, 'full'):
            self.root.write('/etc/a', b'new', 0o644)
        self.assertEqual(before, self.tree())

    def test_a_directory_in_the_way(self):
        (self.folder / 'etc/a').mkdir()
        for call in (lambda: self.root.write('/etc/a', b'', 0o644),
                     lambda: self.root.read('/etc/a')):
            with self.assertRaisesRegex(exception.ConfigurationError,
                                        'not a regular file'):
                call()

    def test_removing_twice(self):
        self.root.write('/etc/a', b'', 0o644)
        self.root.remove('/etc/a')
        self.root.remove('/etc/a')
        self.root.remove('/no/such/directory/a')
        self.assertIsNone(self.root.read('/etc/a'))

    def test_a_root_that_is_not_there(self):
        for path in ('/etc/passwd', f'{self.folder}/none'):
            with self.assertRaises(exception.ConfigurationError) as caught:
                roots.Root(path)
            self.assertEqual('--root', caught.exception.option)


class LinkTest(hostroot.RootTestCase):
    """Symbolic links, which could lead elsewhere."""

    def test_a_link_at_the_end_is_refused(self):
        for to in ('/etc/passwd', 'b', '/none'):
            (self.folder / 'etc/a').symlink_to(to)
            for call in (lambda: self.root.write('/etc/a', b'x', 0o644),
                         lambda: self.root.read('/etc/a')):
                with self.assertRaisesRegex(exception.ConfigurationError,
                                            'symbolic link'):
                    call()
            self.assertTrue((self.folder / 'etc/a').is_symlink())
            (self.folder / 'etc/a').unlink()

    def test_an_absolute_link_stays_in_the_root(self):
        (self.folder / 'usr').mkdir()
        (self.folder / 'etc/multipath').symlink_to('/usr')
        self.root.write('/etc/multipath/a', b'x', 0o644)
        self.assertEqual('x', self.get('/usr/a'))

    def test_a_link_upwards_is_refused(self):
        (self.folder / 'etc/multipath').symlink_to('../../../../../../tmp')
        with self.assertRaisesRegex(exception.ConfigurationError,
                                    'out of the root'):
            self.root.write('/etc/multipath/a', b'x', 0o644)

    def test_a_link_of_another_user_is_refused(self):
        (self.folder / 'etc/multipath').symlink_to('/var')
        with mock.patch.object(os, 'geteuid', return_value=12345), \
                mock.patch.object(roots.Root, '_on_link', autospec=True,
                                  side_effect=_as_of(54321)), \
                self.assertRaisesRegex(exception.ConfigurationError,
                                       'user id 54321'):
            self.root.read('/etc/multipath/a')

    def test_only_links_are_removed_as_links(self):
        self.put('/etc/a', 'x')
        (self.folder / 'etc/b').symlink_to('a')
        self.assertEqual([False, True, False], [
            self.root.remove_link(f'/etc/{n}') for n in ('a', 'b', 'c')])
        self.assertEqual('x', self.get('/etc/a'))


def _as_of(uid):
    """Return the check of a link, as if a user had made it."""
    check = roots.Root._on_link

    def checked(root, part, status, to, is_last):
        fields = list(status)
        fields[stat.ST_UID] = uid
        check(root, part, os.stat_result(fields), to, is_last)

    return checked


class FolderTest(hostroot.RootTestCase):
    """Directories."""

    def test_missing_ones(self):
        self.assertEqual(['/a', '/a/b'], self.root.missing('/a/b'))
        self.root.make_folder('/a', 0o755)
        self.root.make_folder('/a', 0o700)  # it is there
        self.assertEqual(['/a/b'], self.root.missing('/a/b'))
        self.assertEqual([], self.root.missing('/'))
        self.assertEqual(
            0o755, stat.S_IMODE((self.folder / 'a').stat().st_mode))

    def test_a_file_in_the_way(self):
        self.put('/a', '')
        with self.assertRaises(exception.ConfigurationError):
            self.root.missing('/a/b')

    def test_a_link_that_leads_nowhere(self):
        (self.folder / 'a').symlink_to('/none')
        for call in (lambda: self.root.is_folder('/a'),
                     lambda: self.root.missing('/a/b/c'),
                     lambda: self.root.make_folder('/a', 0o755)):
            with self.assertRaises(exception.ConfigurationError) as caught:
                call()
            self.assertEqual(self.root.shown('/a'), caught.exception.option)
            self.assertIn('link to /none', caught.exception.problem)
        self.assertFalse(self.is_there('/none'))

    def test_only_a_directory_counts_as_made(self):
        self.put('/a', '')
        with self.assertRaisesRegex(exception.ConfigurationError,
                                    'not a directory'):
            self.root.make_folder('/a', 0o755)
        (self.folder / 'b').mkdir()
        (self.folder / 'c').symlink_to('b')
        self.root.make_folder('/c', 0o755)

    def test_only_empty_ones_are_removed(self):
        self.put('/a/b', '')
        self.assertFalse(self.root.remove_folder('/a'))
        self.root.remove('/a/b')
        self.assertTrue(self.root.remove_folder('/a'))
        self.assertTrue(self.root.remove_folder('/a'))
        self.assertFalse(self.is_there('/a'))

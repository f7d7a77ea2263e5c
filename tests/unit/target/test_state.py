# SPDX-License-Identifier: Apache-2.0
"""The state directory and its files, and who can replace them."""

import os
from pathlib import Path
import unittest

from mydriver import exception
from mydriver.backend import settings
from mydriver.target import chap, factory, pool, state
from tests.fakes import filesystem
from tests.fakes.devices import FolderDevices

NOBODY = filesystem.NOBODY


class StateCase(unittest.TestCase):
    """A directory of cinder-volume's user, with one for a backend's state."""

    def setUp(self):
        super().setUp()
        self.folder = Path(filesystem.folder(self))
        self.folder.chmod(0o755)
        self.state = self.folder / 'mydriver' / 'disks'
        self.state.mkdir(parents=True)
        os.chown(self.folder / 'mydriver', NOBODY, NOBODY)
        os.chown(self.state, NOBODY, NOBODY)

    def replace(self, path, lead, user=NOBODY):
        """Put a link in place of a directory."""
        path.rename(f'{path}.away')
        path.symlink_to(lead)
        os.lchown(path, user, user)

    def refused(self, *named):
        """See that the directory is refused; the error names all this."""
        with self.assertRaises(exception.ConfigurationError) as caught:
            state.owner(str(self.state))
        for text in (str(self.state), *named):
            self.assertIn(text, str(caught.exception))


class OwnerTest(StateCase):
    """The owner of the directory."""

    def test_it_is_the_service_users(self):
        self.assertEqual((NOBODY, NOBODY), state.owner(str(self.state)))

    def test_a_link_in_its_place(self):
        self.replace(self.state, '/etc')
        self.refused('disks', '/etc', str(NOBODY))

    def test_a_link_of_roots_in_its_place(self):
        self.replace(self.state, f'{self.state}.away', user=0)
        self.refused('disks')

    def test_a_link_on_the_way(self):
        self.replace(self.folder / 'mydriver', '/var')
        self.refused('mydriver', '/var')

    def test_roots_link_on_the_way_is_followed(self):
        for lead in (f'{self.folder}/mydriver.away', '../mydriver.away',
                     './mydriver.away'):
            with self.subTest(lead):
                path = self.folder / 'mydriver'
                if lead.startswith('../'):
                    lead = f'../{self.folder.name}/mydriver.away'
                self.replace(path, lead, user=0)
                self.assertEqual((NOBODY, NOBODY),
                                 state.owner(str(self.state)))
                path.unlink()
                Path(f'{path}.away').rename(path)

    def test_links_without_end(self):
        self.replace(self.folder / 'mydriver', 'mydriver', user=0)
        self.assertRaises(OSError, state.owner, str(self.state))

    def test_roots_folder_that_another_user_can_replace(self):
        os.chown(self.state, 0, 0)
        self.refused(str(NOBODY), 'belongs to root')

    def test_roots_folder_among_roots(self):
        for path in (self.state, self.state.parent):
            os.chown(path, 0, 0)
        self.assertEqual((0, 0), state.owner(str(self.state)))
        self.state.parent.chmod(0o777)
        self.refused('belongs to root', 'any user can replace')
        os.chown(self.state.parent, 0, NOBODY)
        self.state.parent.chmod(0o775)
        self.refused('belongs to root', f'group id {NOBODY} can replace')
        self.state.parent.chmod(0o1777)
        self.assertEqual((0, 0), state.owner(str(self.state)))

    def test_what_is_no_folder(self):
        self.state.rmdir()
        self.assertRaises(FileNotFoundError, state.owner, str(self.state))
        self.state.touch()
        self.assertRaises(NotADirectoryError, state.owner, str(self.state))
        self.state.unlink()
        os.mkfifo(self.state)
        self.assertRaises(NotADirectoryError, state.owner, str(self.state))

    def test_no_descriptor_is_left_open(self):
        before = len(os.listdir('/proc/self/fd'))
        self.test_roots_link_on_the_way_is_followed()
        self.replace(self.state, '/etc')
        self.refused()
        self.assertEqual(before, len(os.listdir('/proc/self/fd')))


class PrepareTest(StateCase):
    """Creating it, in the driver and in the command."""

    def test_both_folders_are_private(self):
        made = self.folder / 'new' / 'disks'
        factory.build(pool.Settings(
            'disks', 'iqn.2010-10.org.openstack:', (), False,
            str(made)), FolderDevices(made))._journal.close()
        self.assertEqual([0o700, 0o700], [
            p.stat().st_mode & 0o777 for p in (made.parent, made)])

    def test_a_link_in_its_place(self):
        self.replace(self.state, '/etc')
        for prepare in (settings.prepare_state, state.prepare):
            with self.assertRaises(exception.ConfigurationError) as caught:
                prepare(str(self.state))
            self.assertIn('/etc', str(caught.exception))


class KeyTest(StateCase):
    """The CHAP key is a file of ours and nothing else."""

    def setUp(self):
        super().setUp()
        self.path = self.state / 'chap.key'

    def refused(self, *named):
        with self.assertRaises(exception.ConfigurationError) as caught:
            chap.ChapKey.load(str(self.path))
        for text in (str(self.path), *named):
            self.assertIn(text, str(caught.exception))

    def test_a_link(self):
        other = self.folder / 'other'
        other.write_bytes(b'x' * 32)
        other.chmod(0o600)
        self.path.symlink_to(other)
        self.refused('it is a link')

    def test_a_link_to_nothing_makes_nothing(self):
        self.path.symlink_to(self.folder / 'made')
        self.refused()
        self.assertFalse((self.folder / 'made').exists())

    def test_a_fifo_does_not_block(self):
        os.mkfifo(self.path, 0o600)
        self.refused('not a regular file')

    def test_another_users(self):
        self.path.write_bytes(b'x' * 32)
        self.path.chmod(0o600)
        os.chown(self.path, NOBODY, NOBODY)
        self.refused(f'user id {NOBODY}')

# SPDX-License-Identifier: Apache-2.0
"""Who can read what has been given to root."""

import grp
import os
from pathlib import Path
import pwd
import shutil
import stat
import subprocess
import tempfile
import unittest
from unittest import mock

import ddt

from mydriver import permissions
from tests.fakes import filesystem

#: Groups of this system that are not root's.
OWN, OTHER = grp.getgrnam('daemon'), grp.getgrnam('mail')
UID = filesystem.NOBODY


@unittest.skipIf(os.geteuid(), 'needs root')
@ddt.ddt
class CommandsTest(unittest.TestCase):
    """A service of a user with a group of its own."""

    def setUp(self):
        super().setUp()
        self.folder = Path(tempfile.mkdtemp())
        self.addCleanup(shutil.rmtree, self.folder)
        self.account = pwd.struct_passwd(
            ('service', 'x', UID, OWN.gr_gid, '', '/', '/bin/false'))
        for patch in (
                mock.patch.object(pwd, 'getpwnam', self.by_name),
                mock.patch.object(pwd, 'getpwuid', self.by_uid),
                mock.patch.object(os, 'getgrouplist', lambda _, gid: [gid])):
            patch.start()
            self.addCleanup(patch.stop)

    def by_name(self, name):
        """Return the only account."""
        if name != 'service':
            raise KeyError(name)
        return self.account

    def by_uid(self, uid):
        """Return the only account."""
        if uid != UID:
            raise KeyError(uid)
        return self.account

    def make(self, is_folder, uid, gid, mode):
        """Make a file or a directory with an awkward name."""
        path = self.folder / "it's; here"
        if is_folder:
            path.mkdir()
        else:
            path.touch()
        os.chown(path, uid, gid)
        path.chmod(mode)
        return path

    def run_it(self, command):
        """Do what is printed."""
        subprocess.run(['/bin/sh', '-ec', command], check=True)

    def assert_read(self, path, *, gid=OWN.gr_gid):
        """Assert that root has it, and that others can read, not write."""
        found = path.stat()
        self.assertEqual(0, found.st_uid)
        self.assertFalse(found.st_mode & 0o022)
        needed = 5 if stat.S_ISDIR(found.st_mode) else 4
        bits = (found.st_mode >> 3 if found.st_gid == gid
                else found.st_mode) & needed
        self.assertEqual(needed, bits, oct(found.st_mode))

    @ddt.data(
        (False, 0, 0, 0o644), (False, UID, 0, 0o640), (False, UID, 0, 0o600),
        (False, 0, 0, 0o666), (False, UID, OWN.gr_gid, 0o640),
        (False, 4242, OTHER.gr_gid, 0o640), (True, UID, OWN.gr_gid, 0o700),
        (True, UID, 0, 0o700), (True, UID, 0, 0o755), (True, 0, 0, 0o777),
        (True, UID, OTHER.gr_gid, 0o770), (True, 0, OTHER.gr_gid, 0o775))
    @ddt.unpack
    def test_of_a_service(self, is_folder, uid, gid, mode):
        path = self.make(is_folder, uid, gid, mode)
        self.run_it(permissions.for_user(str(path), path.stat(), 'service'))
        self.assert_read(path)
        if not is_folder:
            self.assertEqual(0o640, stat.S_IMODE(path.stat().st_mode))
        elif mode & 0o005 == 0o005:
            self.assertEqual(gid, path.stat().st_gid)

    @ddt.data(
        (False, UID, 0, 0o640), (False, UID, 0, 0o600),
        (False, UID, 0, 0o644), (False, UID, OWN.gr_gid, 0o600),
        (False, UID, OTHER.gr_gid, 0o644), (False, 4242, 4242, 0o644),
        (False, UID, OTHER.gr_gid, 0o600), (True, UID, OWN.gr_gid, 0o700),
        (True, UID, 0, 0o700), (True, UID, OTHER.gr_gid, 0o775))
    @ddt.unpack
    def test_of_an_owner(self, is_folder, uid, gid, mode):
        path = self.make(is_folder, uid, gid, mode)
        self.run_it(permissions.for_owner(str(path), path.stat()))
        self.assert_read(path, gid=OWN.gr_gid if uid == UID else -1)
        # Nor does anybody else lose anything: some service reads as others.
        self.assertEqual(mode & 0o005, path.stat().st_mode & 0o005)

    @ddt.data((False, UID, OTHER.gr_gid, 0o640), (False, 4242, 0, 0o640),
              (True, UID, OTHER.gr_gid, 0o750), (True, 4242, 4242, 0o700))
    @ddt.unpack
    def test_one_of_two_would_be_locked_out(self, is_folder, uid, gid, mode):
        path = self.make(is_folder, uid, gid, mode)
        self.assertIsNone(permissions.for_owner(str(path), path.stat()))

    def test_roots_own_keep_their_group(self):
        path = self.make(False, 0, OTHER.gr_gid, 0o664)
        self.run_it(permissions.for_owner(str(path), path.stat()))
        self.assertEqual((0, OTHER.gr_gid, 0o644), (
            path.stat().st_uid, path.stat().st_gid,
            stat.S_IMODE(path.stat().st_mode)))

    def test_a_program_is_not_hidden(self):
        path = self.make(False, UID, OWN.gr_gid, 0o755)
        self.run_it(permissions.for_user(str(path), path.stat(), 'service',
                                         is_secret=False))
        self.assertEqual(0o755, stat.S_IMODE(path.stat().st_mode))

    def test_a_link_that_is_there_meanwhile(self):
        path = self.make(False, UID, OWN.gr_gid, 0o640)
        for command in (
                permissions.for_user(str(path), path.stat(), 'service'),
                permissions.for_owner(str(path), path.stat())):
            secret = self.folder / 'secret'
            secret.write_text('')
            secret.chmod(0o600)
            path.unlink()
            path.symlink_to(secret)
            with self.assertRaises(subprocess.CalledProcessError):
                self.run_it(command)
            self.assertEqual((0, 0o600), (
                secret.stat().st_gid, stat.S_IMODE(secret.stat().st_mode)))

    def test_a_user_that_does_not_exist(self):
        """Nothing changes: the present user can still read."""
        path = self.make(False, 0, 0, 0o644)
        with self.assertRaises(subprocess.CalledProcessError):
            self.run_it(permissions.for_user(str(path), path.stat(),
                                             'no-such-user'))
        self.assertEqual(0o644, stat.S_IMODE(path.stat().st_mode))

    def test_in_an_image(self):
        self.assertEqual(
            'chown -h root:service /a && [ ! -L /a ] && chmod 640 /a',
            permissions.for_user('/a', None, 'service', is_here=False))

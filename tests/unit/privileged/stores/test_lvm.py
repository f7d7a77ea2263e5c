# SPDX-License-Identifier: Apache-2.0
"""Which disks LVM commands see."""

import json
from pathlib import Path
import tempfile
import unittest
from unittest import mock

from mydriver import exception
from mydriver.privileged import grants
from mydriver.privileged.stores import lvm

OURS = 'iqn.2010-10.org.openstack:mydriver-host-be-0'
STRANGER = 'iqn.2003-01.org.example:stranger'


class Host:
    """The disks of a host, and LVM that finds groups on them.

    :param root: of a sysfs.
    """

    def __init__(self, root):
        self.root = root
        self.groups = {}  # disk -> name and UUID of the group
        self.active = ''
        self.commands = []
        self.broken = None

    def disk(self, name, target='', parts=(), below=(), backing=''):
        """Add a disk; return its path."""
        folder = self.root / 'devices' / (
            f'session{len(target)}/' if target else 'pci') / 'block' / name
        folder.mkdir(parents=True)
        (folder / 'slaves').mkdir()
        for other in below:
            (folder / 'slaves' / other).symlink_to(self.folder(
                f'/dev/{other}'))
        for part in parts:
            (folder / part).mkdir()
            (folder / part / 'partition').write_text('1')
        if backing:
            (folder / 'loop').mkdir()
            (folder / 'loop/backing_file').write_text(backing)
        if target:
            session = self.root / f'class/iscsi_session/session{len(target)}'
            session.mkdir(parents=True, exist_ok=True)
            (session / 'targetname').write_text(f'{target}\n')
        return f'/dev/{name}'

    def folder(self, path):
        """Return the sysfs directory of a device."""
        return str(next((found for found in self.root.glob(
            f'devices/**/{path.removeprefix("/dev/")}')
            if not found.is_symlink()), ''))

    def run(self, command, *args, quiet=True):
        """Run an LVM command."""
        self.commands.append((command, *args))
        if command != 'pvs':
            seen = args[1].split(',')
            if self.broken and self.broken not in seen:
                raise exception.StoreError('run it', 'a disk is missing')
            return json.dumps({'report': [{'lv': [{'seen': args[1]}]}]})
        return json.dumps({'report': [{'pv': [
            {'pv_name': disk, 'vg_uuid': uuid}
            for disk, (name, uuid) in self.groups.items()
            if args[-1] == f'vg_name={name}']}]})


class DisksTest(unittest.TestCase):
    """Those of the group, but not those of guests."""

    def setUp(self):
        super().setUp()
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.host = Host(Path(folder.name))
        for name, what in (
                ('_SYS', self.host.root), ('_folder', self.host.folder),
                ('_command', self.host.run), ('_known', {})):
            self.patch(lvm, name, what)
        self.patch(grants, 'current', lambda: (
            grants.Grant('be', 'iblock', 'vg', 'p'),
            grants.Grant('files', 'fileio', '/srv/volumes/')))
        self.patch(lvm.dm, 'group_uuid', lambda name: (
            self.host.active if name == 'vg-p-tpool' else ''))

    def patch(self, where, name, what):
        """Replace an attribute of the module."""
        patch = mock.patch.object(where, name, what)
        patch.start()
        self.addCleanup(patch.stop)

    def seen(self):
        """Return the disks that a command sees."""
        rows = lvm.report('vg', 'lvs', 'lv', ('lv_name',), 'x')
        return rows[0]['seen'].split(',') if rows else []

    def test_a_group(self):
        self.assertEqual([], self.seen())
        for name in ('sda', 'sdb'):
            self.host.groups[self.host.disk(name)] = 'vg', 'AB-1'
        self.host.groups[self.host.disk('sdc')] = 'other', 'CD-1'
        self.host.groups['[unknown]'] = 'vg', 'AB-1'
        self.assertEqual(['/dev/sda', '/dev/sdb'], self.seen())

    def test_the_disks_are_looked_up_once(self):
        self.host.groups[self.host.disk('sda')] = 'vg', 'AB-1'
        for _ in range(3):
            self.seen()
        self.assertEqual(['pvs', 'lvs', 'lvs', 'lvs'],
                         [c[0] for c in self.host.commands])
        lvm.report('vg', 'vgs', 'lv', (), 'x', anew=True)
        self.assertEqual('pvs', self.host.commands[-2][0])

    def test_disks_of_guests(self):
        self.host.groups[self.host.disk('sda', STRANGER)] = 'vg', 'AB-1'
        self.host.disk('sdb', OURS, parts=['sdb1'])
        self.host.disk('dm-1', below=['sdb'])
        self.host.disk('dm-2', below=['dm-1'])
        self.host.disk('loop0', backing='/srv/volumes/volume-1')
        for name in ('sdb', 'sdb1', 'dm-1', 'dm-2', 'loop0'):
            self.host.groups[f'/dev/{name}'] = 'vg', 'CD-1'
        self.assertEqual(['/dev/sda'], self.seen())

    def test_a_second_group(self):
        self.host.groups[self.host.disk('sda')] = 'vg', 'AB-1'
        self.host.groups[self.host.disk('sdb', STRANGER)] = 'vg', 'CD-1'
        with self.assertRaises(exception.StoreError) as caught:
            self.seen()
        self.assertIn('AB1 on /dev/sda, and CD1 on /dev/sdb',
                      str(caught.exception))
        self.host.active = 'CD1'
        self.assertEqual(['/dev/sdb'], self.seen())

    def test_a_disk_that_was_added_later(self):
        self.host.groups[self.host.disk('sda')] = 'vg', 'AB-1'
        self.seen()
        self.host.groups[self.host.disk('sdb')] = 'vg', 'AB-1'
        self.host.broken = '/dev/sdb'
        self.assertEqual(['/dev/sda', '/dev/sdb'], self.seen())
        self.host.broken = '/dev/sdc'
        with self.assertRaisesRegex(exception.StoreError, 'is missing'):
            self.seen()

    def test_a_device_name_that_another_disk_got(self):
        self.host.groups[self.host.disk('sda')] = 'vg', 'AB-1'
        self.seen()
        del self.host.groups['/dev/sda']
        (self.host.root / 'devices').rename(self.host.root / 'gone')
        self.host.disk('sda', OURS)
        self.host.groups[self.host.disk('sdb')] = 'vg', 'AB-1'
        self.assertEqual(['/dev/sdb'], self.seen())

    def test_without_a_group_nothing_is_changed(self):
        with self.assertRaisesRegex(exception.StoreError,
                                    'there is no volume group vg'):
            lvm.run('vg', 'lvcreate')

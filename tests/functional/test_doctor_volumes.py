# SPDX-License-Identifier: Apache-2.0
"""What was left behind on a compute host, and what is in use there."""

import os
from pathlib import Path
import subprocess

from tests.functional import attaching, base, doctoring
from tests.functional.doctoring import DEFINITIONS, GUESTS, Damage


class VolumesTest(doctoring.ComputeCase):
    """Sessions, disks and node records, with a target on the same node."""

    def setUp(self):
        super().setUp()
        self.cloud = attaching.Cloud(self)
        self.targets = set()
        self.addCleanup(self.log_out)

    @staticmethod
    def log_out():
        """Clear away what a test that failed has left."""
        for command in ('multipath -F', 'iscsiadm -m session --logout',
                        'iscsiadm -m node -o delete'):
            subprocess.run(command.split(), check=False, capture_output=True)

    def test_each_damage_and_its_remedy(self):
        left = [
            Damage('a node record without a session', self.leave_record,
                   [('node-records', 'warning')], 'no session'),
            Damage('a session without disks', self.leave_session,
                   [('iscsi-sessions', 'warning')], 'has no disk'),
            Damage('a disk that nobody uses', lambda: self.attach(True),
                   [('guest-disks', 'warning')], 'No guest uses'),
        ]
        self.go_through(left)
        self.assertEqual([], self.examine()[0])
        self.assertEqual((set(), set()),
                         (base.sessions(), base.scsi_devices()))
        self.in_use()

    def volume(self):
        """Map a new volume, on a target of its own; return its data."""
        while True:
            volume_id = self.cloud.volume()
            data = self.cloud.attach(volume_id, True)
            if data['target_iqn'] not in self.targets:
                self.targets.add(data['target_iqn'])
                return data

    def attach(self, multipath=False):
        """Attach a volume, for no guest; return the path of its disk."""
        path = attaching.ours(multipath).connect_volume(self.volume())['path']
        base.run('udevadm', 'settle')
        return path

    def leave_record(self):
        """Make a record, as an attach does first of all."""
        base.run('iscsiadm', '-m', 'node', '-T', self.volume()['target_iqn'],
                 '-p', str(attaching.PORTALS[0]), '-o', 'new')

    def leave_session(self):
        """Log in to a target, and take its disk away."""
        self.attach()
        for device in base.scsi_devices():
            Path(f'/sys/class/scsi_device/{device}/device/delete').write_text(
                '1')

    def in_use(self):
        """A disk that something has open is not to be removed."""
        path = os.path.realpath(self.attach())
        with open(path, 'rb'):
            found, _ = self.examine()
            self.assertEqual([('guest-disks', 'unknown')],
                             [(f['Check'], f['Severity']) for f in found])
            self.assertIn('has it open', found[0]['What'])
            self.assert_keeps(found, path)
        found, _ = self.examine()
        remedy = found[0]['Remedy']
        self.assertIn('/delete', remedy)
        # Somebody opens it before the operator gets round to it.
        with open(path, 'rb'), self.assertRaises(AssertionError):
            self.systemd.shell(remedy)
        self.assertTrue(os.path.exists(path))
        self.without_libvirt(path)
        self.with_a_guest(path, remedy)
        self.systemd.shell(remedy)
        self.assertFalse(os.path.exists(path))
        self.assertEqual([], self.examine()[0])

    def assert_keeps(self, found, path):
        """Assert that no remedy removes anything."""
        for one in found:
            for word in ('delete', ' -u', 'multipath -f', 'rm '):
                self.assertNotIn(word, one['Remedy'])
        self.assertTrue(os.path.exists(path))

    def without_libvirt(self, path):
        """Nobody can tell what guests use."""
        GUESTS.rmdir()
        found, _ = self.examine('--fix')
        self.assertEqual([('guest-disks', 'unknown')],
                         [(f['Check'], f['Severity']) for f in found])
        self.assert_keeps(found, path)
        GUESTS.mkdir()

    def with_a_guest(self, path, remedy):
        """A guest has it, by the name that Nova gives to libvirt."""
        naa = attaching.disk_naa(path)
        self.assertTrue(naa.startswith('6001405'))
        text = ("<domain><disk type='block'><source dev='/dev/disk/by-id/"
                f"wwn-0x{naa}' index='1'/></disk></domain>")
        defined, state = (folder / 'instance-1.xml'
                          for folder in (DEFINITIONS, GUESTS))
        state.write_text(f'<domstatus>{text}</domstatus>')
        # Nova defines each guest: a libvirt with another root has its own.
        found, _ = self.examine('--fix')
        self.assertEqual([('guest-disks', 'unknown')],
                         [(f['Check'], f['Severity']) for f in found])
        self.assert_keeps(found, path)
        defined.write_text(text)
        self.assertEqual([], self.examine('--fix')[0])
        state.unlink()  # it is suspended, or shut off
        self.assertEqual([], self.examine('--fix')[0])
        with self.assertRaises(AssertionError):
            self.systemd.shell(remedy)
        self.assertTrue(os.path.exists(path))
        defined.unlink()

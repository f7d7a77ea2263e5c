# SPDX-License-Identifier: Apache-2.0
"""Damage of compute hosts."""

import os
import shutil
import stat
import subprocess
from unittest import mock
import uuid

from mydriver import model
from mydriver.doctor import (
    common,
    compute,
    guests,
    multipath,
    opened,
    volumes,
)
from mydriver.initiator.sysfs import Sysfs
from tests.fakes import doctor, initiator

TARGET = model.Iqn('iqn.2010-10.org.openstack:mydriver-host-disks-0')
PORTAL = initiator.PORTALS[0]
NAME = compute.INITIATOR_NAME


class ComputeTestCase(doctor.DoctorTestCase):
    """A compute host."""

    def setUp(self):
        super().setUp()
        self.compute()

    def look(self, check_id):
        """Return what is wrong."""
        return [f.found for f in self.examine('compute', check_id, (
            *common.CHECKS, *compute.CHECKS, *volumes.CHECKS))]

    def only(self, check_id):
        """Return severity and remedy of the one thing that is wrong."""
        found, = self.look(check_id)
        return found.severity, found.remedy


class ComputeTest(ComputeTestCase):
    """iscsid, multipathd and Nova."""

    def test_nothing_is_wrong(self):
        for check in (*common.CHECKS, *compute.CHECKS, *volumes.CHECKS):
            if check.id != 'release':  # of this environment
                with self.subTest(check.id):
                    self.assertEqual([], self.look(check.id))

    def stop(self, pid):
        """End a process."""
        for name in ('comm', 'stat'):
            (self.folder / f'proc/{pid}/{name}').unlink()

    def test_iscsid_does_not_run(self):
        self.stop(100)
        self.command('systemctl', 'inactive', 3)
        self.command('iscsid')
        self.assertEqual(
            ('error', 'systemctl enable --now iscsid.socket iscsid'),
            self.only('iscsid'))
        self.command('systemctl', 'active')
        self.assertEqual([], self.look('iscsid'))

    def test_open_iscsi_is_not_installed(self):
        self.stop(100)
        self.assertIn('apt-get install open-iscsi', self.only('iscsid')[1])

    def test_the_initiator_name(self):
        self.command('iscsi-iname', 'iqn.2000-01.a.b:new')
        for text in (None, '# none\n', 'GenerateName=yes\n',
                     'InitiatorName=notaname\n',
                     'InitiatorName=iqn.2000-01.a.b:x\n' * 2):
            with self.subTest(text):
                if text is None:
                    os.unlink(f'{self.folder}{NAME}')
                else:
                    self.put(NAME, text)
                severity, remedy = self.only('initiator-name')
                self.assertEqual('error', severity)
                self.carry_out(remedy)
                self.assertEqual([], self.look('initiator-name'))
                self.assertIn('b:x' if 'b:x' in (text or '') else 'b:new',
                              self.get(NAME))

    def test_the_initiator_name_that_sessions_have(self):
        os.unlink(f'{self.folder}{NAME}')
        self.put('/sys/class/iscsi_session/session3/initiatorname',
                 f'{doctor.INITIATOR}\n')
        self.carry_out(self.only('initiator-name')[1])
        self.assertEqual(f'InitiatorName={doctor.INITIATOR}\n',
                         self.get(NAME))

    def test_iscsid_still_has_the_old_name(self):
        later = doctor.STARTED + 60
        os.utime(f'{self.folder}{NAME}', (later, later))
        self.assertEqual(('warning', 'systemctl restart iscsid'),
                         self.only('initiator-name-in-use'))

    def test_multipathd_does_not_run(self):
        self.stop(101)
        self.assertEqual(('error', 'systemctl enable --now multipathd'),
                         self.only('multipathd'))
        self.compute_without_multipath()
        self.assertEqual('info', self.only('multipathd')[0])

    def compute_without_multipath(self):
        """Leave the option out."""
        self.configure('/etc/nova/nova.conf', doctor.NOVA_CONF.replace(
            'volume_use_multipath = true', ''))

    def test_settings_of_multipathd(self):
        reload = 'systemctl reload multipathd'
        for lost, old, new, remedy in (
                (False, 'names "no"', 'names "yes"', reload),
                (False, '"strict"', '"greedy"', 'find_multipaths yes'),
                (True, 'skip_kpartx "yes"', 'skip_kpartx "no"',
                 f'mydriver setup compute --install && {reload}'),
                (True, 'LIO-ORG', 'OTHER', 'mydriver setup compute')):
            with self.subTest(new):
                if lost:
                    self.put('/etc/multipath/conf.d/mydriver.conf', '')
                self.command('multipathd',
                             doctor.MULTIPATH_CONF.replace(old, new))
                found = self.look('multipathd')
                self.assertTrue(found)
                for one in found:
                    self.assertEqual('warning', one.severity)
                    self.assertIn(remedy, one.remedy)

    def test_what_overrides_the_settings(self):
        self.put('/etc/multipath.conf', 'defaults {\n'
                 '    user_friendly_names yes\n    find_multipaths greedy\n}\n'
                 'overrides {\n    user_friendly_names yes\n}\n')
        self.command('multipathd', doctor.MULTIPATH_CONF.replace(
            'names "no"', 'names "yes"').replace('strict', 'greedy'))
        # What overrides also names the host's own disks: see for yourself.
        conf = f'{self.folder}/etc/multipath.conf'
        self.assertEqual([
            f'${{EDITOR:-vi}} +6 {conf} && systemctl reload multipathd',
            ("sed -i '/^[[:space:]]*defaults[[:space:]]*{/,/^[[:space:]]*}/"
            's/^\\([[:space:]]*find_multipaths[[:space:]]\\+\\).*/\\1yes/\' '
            f'{conf} && systemctl reload multipathd')],
            [f.remedy for f in self.look('multipathd')])
        for found in self.look('multipathd'):
            self.carry_out(found.remedy, 'sed -i "6s/yes/no/" "$2"')
        self.assertEqual('defaults {\n'
                         '    user_friendly_names yes\n'
                         '    find_multipaths yes\n}\n'
                         'overrides {\n    user_friendly_names no\n}\n',
                         self.get('/etc/multipath.conf'))
        self.assertEqual(2, self.get('/called').count('reload multipathd'))

    def test_a_file_whose_last_line_has_no_end(self):
        self.put('/etc/multipath.conf', '# the end')
        self.command('multipathd', doctor.MULTIPATH_CONF.replace(
            'strict', 'greedy'))
        self.carry_out(self.only('multipathd')[1])
        self.assertEqual(
            '# the end\ndefaults {\n    find_multipaths yes\n}\n',
            self.get('/etc/multipath.conf'))

    def test_disks_of_others_keep_their_names(self):
        own = ('devices {{\n    device {{\n        vendor "{}"\n'
               '        product "{}"\n        user_friendly_names yes\n'
               '    }}\n')
        self.put('/etc/multipath.conf', own.format('IBM', '2145')
                 + own.format('LIO-ORG', 'FILEIO').partition('\n')[2]
                 + '}\nblacklist {\n    device {\n        vendor ".*"\n'
                 '        user_friendly_names yes\n    }\n}\n')
        before = self.get('/etc/multipath.conf')
        self.command('multipathd', doctor.MULTIPATH_CONF.replace(
            'names "no"', 'names "yes"'))
        remedy = self.only('multipathd')[1]
        # The line of our vendor's entry; nothing is changed unseen.
        self.assertEqual(
            f'${{EDITOR:-vi}} +10 {self.folder}/etc/multipath.conf && '
            'systemctl reload multipathd', remedy)
        self.carry_out(remedy)
        self.assertEqual(before, self.get('/etc/multipath.conf'))

    def test_an_entry_without_the_setting(self):
        self.put('/etc/multipath.conf', 'devices {\n    device {\n'
                 '        vendor "IBM"\n        user_friendly_names yes\n'
                 '    }\n    device {\n        vendor "LIO-ORG"\n'
                 '        # user_friendly_names yes\n    }\n}\n')
        self.command('multipathd', doctor.MULTIPATH_CONF.replace(
            'names "no"', 'names "yes"'))
        self.assertEqual('systemctl reload multipathd',
                         self.only('multipathd')[1])

    def test_sections_in_sections(self):
        self.assertEqual({'skip_kpartx': 'no'}, multipath.effective(
            'overrides {\n skip_kpartx no # text\n protocol {\n'
            '  type "scsi:iscsi"\n }\n}\n'))

    def test_what_counts_for_our_disks(self):
        config = doctor.MULTIPATH_CONF + """
            devices {
                device {
                    vendor "LIO-ORG"
                    product "TCMU device"
                    skip_kpartx "no"
                }
                device {
                    vendor "(unbalanced"
                    skip_kpartx "no"
                }
            }
            """
        self.assertEqual(
            ('yes', 'no', 'strict'), tuple(multipath.effective(config)[n] for n
                                           in ('skip_kpartx',
                                               'user_friendly_names',
                                               'find_multipaths')))
        self.assertEqual('no', multipath.effective(
            config + 'overrides {\nskip_kpartx "no"\n}\n')['skip_kpartx'])

    def test_multipathd_tells_nothing(self):
        self.command('multipathd', 'permission deny: need to be root', 1)
        self.assertEqual(('unknown', 'sudo mydriver doctor compute'),
                         self.only('multipathd'))

    def test_another_driver(self):
        self.configure('/etc/nova/nova.conf', """
            [DEFAULT]
            compute_driver = libvirt.LibvirtDriver
            """)
        severity, remedy = self.only('nova-conf')
        self.assertEqual('warning', severity)
        self.carry_out(remedy)
        self.assertEqual([], self.look('nova-conf'))
        self.assertIn('restart nova-compute', self.get('/called'))


class VolumesTest(ComputeTestCase):
    """Sessions, disks, and what guests use."""

    def setUp(self):
        super().setUp()
        self.fake = initiator.FakeHost(self.folder / 'sys')
        self.naa = model.naa_id(initiator.VOLUME)
        self.fake.luns[1] = initiator.Lun.of(initiator.VOLUME)

    def attach(self, guest=True):
        """Log in, with a disk; a guest uses it."""
        self.fake.add_session(str(TARGET), PORTAL)
        session, = Sysfs(self.folder / 'sys').sessions(TARGET)
        self.fake.scan(session, 1)
        self.put('/dev/sda', '')
        self.make('/dev/disk/by-id')
        link = f'/dev/disk/by-id/wwn-0x{self.naa}'
        (self.folder / link[1:]).symlink_to(self.folder / 'dev/sda')
        if guest:
            self.define(link)
            self.start(link)
        return link

    def define(self, path, name='instance-1'):
        """Define a guest that has a disk."""
        self.put(f'{guests.DEFINITIONS}/{name}.xml',
                 "<domain><disk type='block'><source "
                 f"dev='{path}'/></disk></domain>\n")

    def start(self, path, name='instance-1'):
        """Have a guest run with a disk."""
        self.put(f'{guests.FOLDER}/{name}.xml',
                 "<domstatus><domain><disk type='block'><source "
                 f"dev='{path}' index='1'/></disk></domain></domstatus>\n")

    def virsh(self, **guests_of):
        """Install virsh; each guest has a disk, and none runs.

        :param guests_of: paths of the disks.
        """
        self.put('/bin/virsh', '#!/bin/sh\ncase "$*" in\n' + ''.join(
            f"""*dumpxml*{name}) echo "<source dev='{path}'/>";;\n"""
            for name, path in guests_of.items())
            + f'*list*--all*) echo "{" ".join(guests_of)}";;\n'
            '*list*) ;;\n*) exit 1;;\nesac\n', 0o755)

    def test_a_disk_that_a_guest_uses(self):
        self.attach()
        for check in volumes.CHECKS:
            self.assertEqual([], self.look(check.id))

    def test_a_disk_that_nobody_uses(self):
        self.attach(guest=False)
        severity, remedy = self.only('guest-disks')
        self.assertEqual('warning', severity)
        steps = remedy.split(' && ')
        self.assertIn(f'grep -qF {self.naa}', steps[0])
        at = steps.index('is_idle sda')
        self.assertEqual(
            ['blockdev --flushbufs /dev/sda',
             'echo 1 > /sys/class/block/sda/device/delete'],
            steps[at + 1:at + 3])
        # The session was only for this disk.
        folder = '/sys/class/iscsi_session/session1'
        self.assertEqual(f'grep -qxFe {TARGET} {folder}/targetname',
                         steps[at + 3])
        self.assertIn(f'! ls -d {folder}/device/', steps[at + 4])
        self.assertEqual(['iscsiadm -m session -r 1 -u'], steps[at + 5:])

    def test_the_session_of_other_disks_as_well(self):
        self.attach(guest=False)
        self.fake.luns[2] = initiator.Lun.of(str(uuid.uuid4()))
        session, = Sysfs(self.folder / 'sys').sessions(TARGET)
        self.fake.scan(session, 2)
        for found in self.look('guest-disks'):
            self.assertIn('/device/delete', found.remedy)
            self.assertNotIn('iscsiadm', found.remedy)

    def open_disk(self, by='qemu-system-x86'):
        """Have a process open the disk."""
        self.put('/sys/block/sda/dev', '8:0')
        self.process(by, 300)
        self.make('/proc/300/fd')
        device = self.folder / 'proc/300/fd/7'
        os.mknod(device, stat.S_IFBLK, os.makedev(8, 0))

    def test_a_disk_that_a_program_has_open(self):
        self.attach(guest=False)
        self.open_disk()
        found, = self.look('guest-disks')
        self.assertEqual('unknown', found.severity)
        self.assertIn('qemu-system-x86 (300) has it open', found.what)
        self.assertNotIn('delete', found.remedy)

    def test_multipathd_has_each_disk_open(self):
        self.attach(guest=False)
        self.open_disk('multipathd')
        self.assertEqual('warning', self.only('guest-disks')[0])

    def test_whose_files_cannot_be_seen(self):
        self.attach(guest=False)
        with mock.patch.object(opened, 'users', return_value=None):
            found, = self.look('guest-disks')
        self.assertEqual('unknown', found.severity)
        self.assertEqual('sudo mydriver doctor compute', found.remedy)
        self.open_disk()
        with mock.patch.object(os, 'listdir', side_effect=PermissionError):
            self.assertIsNone(opened.users(self.host('compute'), {'8:0'}))

    def test_the_map_of_such_a_disk(self):
        self.fake.multipathd = True
        self.attach(guest=False)
        self.assertRegex(self.only('guest-disks')[1],
                         r'&& grep -qx mpath-3\w+ \S+/dm-0/dm/uuid && grep '
                         r'-qxFe \S+ \S+/dm-0/dm/name && multipath -f \S+ && '
                         r'is_idle sda && blockdev')

    def test_a_disk_that_the_host_mounts(self):
        self.attach(guest=False)
        self.put('/proc/self/mountinfo',
                 '36 35 8:0 / /mnt rw - ext4 /dev/sda rw\n')
        self.put('/sys/block/sda/dev', '8:0')
        self.assertEqual([], self.look('guest-disks'))

    def test_without_libvirt_nothing_is_called_unused(self):
        self.attach(guest=False)
        (self.folder / guests.FOLDER[1:]).rmdir()
        found, = self.look('guest-disks')
        self.assertEqual('unknown', found.severity)
        self.assertIn('cannot be known', found.what)
        self.assertNotIn('delete', found.remedy)

    def test_virsh_is_asked_where_the_files_cannot_be_read(self):
        link = self.attach(guest=False)
        (self.folder / guests.FOLDER[1:]).rmdir()
        self.virsh(instance=link)
        self.assertEqual([], self.look('guest-disks'))
        self.put('/bin/virsh', '#!/bin/sh\nexit 1\n', 0o755)
        self.assertEqual('unknown', self.only('guest-disks')[0])

    def test_the_disk_of_a_guest_is_gone(self):
        link = f'/dev/disk/by-id/wwn-0x{self.naa}'
        self.define(link)
        self.start(link)
        self.assertEqual(
            ('error',
             (f'[ ! -e {link} ] && ! grep -qsx naa.{self.naa} '
             '/sys/class/block/sd*/device/wwid && openstack server reboot '
             '--hard "$(virsh domuuid --domain instance-1)"')),
            self.only('guest-disks'))

    def test_a_name_that_a_shell_or_terminal_would_obey(self):
        path = f'/dev/disk/by-id/wwn-0x{self.naa}'
        self.define(path, name := "x';reboot #")
        self.start(path, name)
        self.assertIn("virsh domuuid --domain 'x'\"'\"';reboot #'",
                      self.only('guest-disks')[1])
        for folder in (guests.FOLDER, guests.DEFINITIONS):
            shutil.move(f'{self.folder}{folder}/{name}.xml',
                        f'{self.folder}{folder}/\x1b[2J.xml')
        found, = self.look('guest-disks')
        self.assertEqual('', found.remedy)
        self.assertNotIn('\x1b', found.what)

    def test_only_the_link_of_the_disk_of_a_guest_is_gone(self):
        link = self.attach()
        (self.folder / link[1:]).unlink()
        self.assertEqual(
            ('error', ('udevadm trigger --action=change /sys/class/block/sda '
             f'&& udevadm settle && [ -e {link} ]')), self.only('guest-disks'))

    def test_nobody_knows_whether_the_disk_of_a_guest_is_there(self):
        link = self.attach()
        (self.folder / link[1:]).unlink()
        for page in (self.folder / 'sys').rglob('vpd_pg83'):
            page.unlink()
        found = self.look('guest-disks')
        self.assertEqual(['unknown'] * 2, [f.severity for f in found])
        self.assertEqual({''}, {f.remedy for f in found})

    def test_a_disk_of_a_guest_that_does_not_run(self):
        link = self.attach(guest=False)
        self.define(link)
        self.assertEqual([], self.look('guest-disks'))

    def test_a_guest_that_does_not_run_needs_no_disk(self):
        self.define(f'/dev/disk/by-id/wwn-0x{self.naa}')
        self.assertEqual(('info', ''), self.only('guest-disks'))

    def test_the_definitions_cannot_be_read(self):
        self.attach(guest=False)
        definitions = self.folder / guests.DEFINITIONS[1:]
        self.make(f'{guests.DEFINITIONS}/networks')
        self.assertEqual('warning', self.only('guest-disks')[0])
        self.put(f'{guests.DEFINITIONS}/instance-1.xml', '<domain><na')
        self.assertEqual('unknown', self.only('guest-disks')[0])
        shutil.rmtree(definitions)
        self.assertEqual('unknown', self.only('guest-disks')[0])

    def test_the_definitions_are_those_of_another_libvirt(self):
        link = self.attach(guest=False)
        self.start('/dev/vda')
        found, = self.look('guest-disks')
        self.assertEqual(('unknown', 'sudo mydriver doctor compute'),
                         (found.severity, found.remedy))
        (self.folder / guests.FOLDER[1:] / 'instance-1.xml').unlink()
        self.virsh(other=link)
        self.assertEqual([], self.look('guest-disks'))

    def test_virsh_does_not_answer_in_time(self):
        self.attach()
        with mock.patch.object(
                guests.hosts, 'run',
                side_effect=subprocess.TimeoutExpired(['virsh'], 10)):
            self.assertEqual([], self.look('guest-disks'))

    def removal(self):
        """Return the steps that remove the disk, in the root of the test."""
        remedy = self.only('guest-disks')[1].partition(' && grep -qxFe')[0]
        for path in ('/sys/', '/proc/', '/dev/', '/etc/', '/run/'):
            remedy = remedy.replace(path, f'{self.folder}{path}')
        return remedy

    def test_the_removal_looks_again(self):
        self.attach(guest=False)
        (self.folder / 'dev/sda').unlink()
        os.mknod(self.folder / 'dev/sda', stat.S_IFBLK, os.makedev(8, 0))
        for name, text in (('dev/null', ''), ('proc/swaps', 'Filename\n'),
                           ('sys/block/sda/dev', '8:0\n')):
            self.put(f'/{name}', text)
        self.make('/sys/block/sda/holders')
        self.put('/sys/block/sda/device/wwid', f'naa.{self.naa}\n')
        self.process('qemu', 300)
        self.make('/proc/300/fd')
        self.put('/proc/300/mountinfo', '36 35 9:0 / / rw - xfs /dev/md0 rw\n')
        for name in ('blockdev', 'iscsiadm', 'virsh', 'pidof'):
            self.command(name)
        remedy = self.removal()
        deleted = self.folder / 'sys/block/sda/device/delete'
        dev = f'{self.folder}/dev/sda'
        for path, text in (
                ('/sys/block/sda/device/wwid', 'naa.6001405aaa\n'),
                ('/sys/block/sda/holders/dm-7', ''),
                ('/sys/block/sda/sda1/holders/dm-7', ''),
                ('/proc/300/mountinfo', '36 35 8:0 / /mnt rw - xfs /x rw\n'),
                ('/proc/300/mountinfo', (f'36 35 0:9 / /mnt rw - btrfs {dev}1 '
                 'rw\n')),
                ('/proc/swaps', f'{dev}   partition\t1\t0\t-2\n'),
                (f'{guests.DEFINITIONS}/i.xml', f"dev='wwn-0x{self.naa}'"),
                ('/bin/virsh', ('#!/bin/sh\ncase $* in *list*) echo i;; '
                 f'*) echo wwn-0x{self.naa};; esac\n')),
                ('/proc/300/fd/7', None)):
            with self.subTest(path, text=text):
                file = self.folder / path[1:]
                before = file.read_text() if file.exists() else None
                if text is None:
                    file.symlink_to(self.folder / 'dev/sda')
                else:
                    self.put(path, text, 0o755)
                with self.assertRaises(subprocess.CalledProcessError):
                    self.carry_out(remedy)
                self.assertFalse(deleted.exists())
                file.unlink()
                if before is not None:
                    self.put(path, before, 0o755)
        self.carry_out(remedy)
        self.assertEqual('1\n', deleted.read_text())

    def test_a_session_without_disks(self):
        self.fake.add_session(str(TARGET), PORTAL)
        severity, remedy = self.only('iscsi-sessions')
        self.assertEqual('warning', severity)
        self.assertIn('/targetname && ! ls -d ', remedy)
        self.assertTrue(remedy.endswith(' && iscsiadm -m session -r 1 -u'))
        self.put(f'/etc/iscsi/nodes/{TARGET}/{PORTAL.address},3260,1/default',
                 '')
        self.assertTrue(self.only('iscsi-sessions')[1].endswith(
            f' -u && iscsiadm -m node -T {TARGET} -p {PORTAL} -o delete'))

    def test_a_session_that_lost_its_portal(self):
        self.attach()
        self.put('/sys/class/iscsi_session/session1/state', 'FAILED')
        severity, remedy = self.only('iscsi-sessions')
        self.assertEqual('warning', severity)
        self.assertEqual('iscsiadm -m discovery -t sendtargets -o '
                         f'nonpersistent -p {PORTAL}', remedy)

    def test_a_session_of_others(self):
        self.fake.add_session('iqn.2000-01.com.example:san', PORTAL)
        for check in volumes.CHECKS:
            self.assertEqual([], self.look(check.id))

    def test_a_node_record_that_was_left_behind(self):
        for name in (f'{TARGET}/192.0.2.1,3260,1/default',
                     'iqn.2000-01.com.example:san/192.0.2.1,3260,1/default'):
            self.put(f'/etc/iscsi/nodes/{name}', '')
        self.assertEqual(
            ('warning', (f'iscsiadm -m node -T {TARGET} -p 192.0.2.1:3260 '
             '-o delete')), self.only('node-records'))
        self.attach()
        self.assertEqual([], self.look('node-records'))

# SPDX-License-Identifier: Apache-2.0
"""What a compromised nova user cannot do with the initiator's verbs."""

import collections
import os
from pathlib import Path
import re
import sys
import tempfile

import rtslib_fb

from mydriver import privileged
from mydriver.connection import iscsi
from tests.functional import attaching, base, hostile

MIB = 1 << 20
STRANGER = 'iqn.2003-01.org.example:stranger'
HERE = 'mydriver.privileged.initiator.'
SESSIONS, DEVICES, MULTIPATH = (
    f'{HERE}{module}.' for module in ('sessions', 'devices', 'multipath'))
NODES = Path('/etc/iscsi/nodes')
WWIDS = Path('/etc/multipath/wwids')


class HostileInitiatorTest(attaching.AttachTestCase):
    """A compute host that also uses another storage system."""

    def setUp(self):
        super().setUp()
        self.stranger()
        self.caller = hostile.Caller(privileged.initiator_context)
        self.addCleanup(self.caller.close)
        self.attachment = self.attach()
        self.addCleanup(self.clear)
        self.before = self.outside()

    def clear(self):
        """Detach what is still attached."""
        base.subprocess.run(
            ['iscsiadm', '-m', 'node', '-T',
             str(self.parsed().paths[0].target), '--logout'],
            check=False, capture_output=True)

    def stranger(self):
        """Mount a disk of a foreign target."""
        file = self.cloud.folder / 'stranger'
        with file.open('wb') as f:
            f.truncate(16 * MIB)
        tpg = rtslib_fb.TPG(rtslib_fb.Target(
            rtslib_fb.FabricModule('iscsi'), STRANGER), 1)
        rtslib_fb.NetworkPortal(tpg, '127.0.0.3', 3260)
        rtslib_fb.LUN(tpg, 1, rtslib_fb.FileIOStorageObject(
            'stranger', str(file), 16 * MIB))
        rtslib_fb.MappedLUN(
            rtslib_fb.NodeACL(tpg, base.initiator_name()), 1, 1)
        tpg.set_attribute('authentication', '0')
        tpg.enable = True
        node = ('iscsiadm', '-m', 'node', '-T', STRANGER, '-p',
                '127.0.0.3:3260')
        base.run(*node, '-o', 'new')
        base.run(*node, '--login')
        base.run('udevadm', 'settle')
        self.sid = self.session_of(STRANGER)
        self.disk, self.hctl = self.disk_of(self.sid)
        base.run('mkfs.ext4', '-q', f'/dev/{self.disk}')
        self.mount = Path(tempfile.mkdtemp(dir='/run'))
        base.run('mount', f'/dev/{self.disk}', self.mount)
        (self.mount / 'file').write_text('theirs')
        self.addCleanup(base.run, *node, '--logout')
        self.addCleanup(base.run, 'umount', self.mount)

    @staticmethod
    def session_of(target):
        """Return the number of the session with a target."""
        for folder in Path('/sys/class/iscsi_session').iterdir():
            if (folder / 'targetname').read_text().strip() == target:
                return int(folder.name.removeprefix('session'))
        raise AssertionError(f'no session with {target}')

    @staticmethod
    def disk_of(sid):
        """Return name and address of the disk of a session."""
        for disk in Path('/sys/block').glob('sd*'):
            path = os.path.realpath(disk)
            if f'/session{sid}/' in path:
                hctl = Path(path).parents[1].name
                return disk.name, [int(n) for n in hctl.split(':')]
        raise AssertionError(f'session {sid} has no disk')

    def parsed(self):
        """Return what the attach was told."""
        return iscsi.Connection.parse(self.attachment.data)

    # -- what is outside

    def outside(self):
        """Return all that the caller has no business with."""
        (self.mount / 'probe').write_text('still written')
        os.sync()
        ours = str(self.parsed().paths[0].target)
        device = Path('/sys/bus/scsi/devices', ':'.join(map(str, self.hctl)))
        return {
            'session': self.session_of(STRANGER),
            'device': sorted(os.listdir(device)),
            'disk': self.disk_of(self.sid),
            'files': {p.name: p.read_text() for p in self.mount.iterdir()
                      if p.is_file()},
            'records': {
                str(p): (p.stat().st_mode, p.read_text())
                for p in Path('/etc/iscsi').rglob('*')
                if p.is_file() and ours not in str(p)},
            'wwids': [line for line in (
                WWIDS.read_text().splitlines() if WWIDS.exists() else [])
                if not re.match(r'(#|/36001405)', line)],
            'folders': {f: sorted(os.listdir(f)) for f in (
                '/', '/etc', '/root', '/etc/iscsi', '/proc/sys/kernel')},
            'core': Path('/proc/sys/kernel/core_pattern').read_text(),
            'shadow': Path('/etc/shadow').read_text(),
        }

    def assert_outside_is_as_before(self, what=''):
        """Nothing changed that is not ours."""
        after = self.outside()
        for part, before in self.before.items():
            self.assertEqual(before, after[part], what)

    def assert_refused(self, answer):
        """A call came to nothing, and nothing changed."""
        print(f'\n{self.id().rpartition(".")[2]}: {answer.kind}: '
              f'{answer.text[:160]}', file=sys.stderr)
        self.assert_outside_is_as_before(answer)
        self.assertEqual('refused', answer.kind, answer.text)

    # -- all verbs

    def valid(self):
        """Return what each verb takes, by its name and parameter."""
        told = self.parsed()
        target = {'target': str(told.paths[0].target)}
        portal = {'address': '127.0.0.1', 'port': 3260}
        sid = self.session_of(str(told.paths[0].target))
        name, hctl = self.disk_of(sid)
        naa = {'naa': told.wwn}
        chap = told.chap
        return {HERE + verb: values for verb, values in {
            'sessions.login': {**target, **portal, 'chap': [
                chap.username, chap.password, chap.mutual_username,
                chap.mutual_password], 'timeout_s': 20.0},
            'sessions.logout': {'sid': sid, **target},
            'sessions.forget': {**target, **portal},
            'devices.scan': {'host': hctl[0], 'channel': hctl[1],
                             'target_id': hctl[2], 'lun': hctl[3]},
            'devices.read_naa': {'hctl': hctl},
            'devices.rescan': {'hctl': hctl, **naa},
            'devices.is_claimed': {'hctl': hctl, **naa},
            'devices.delete': {'hctl': hctl, **naa},
            'devices.flush': {'name': name},
            'multipath.multipath_claim': naa,
            'multipath.multipath_unclaim': naa,
            'multipath.multipath_add_path': {'name': name},
            'multipath.multipath_del_path': {'name': name},
            'multipath.multipath_remove_map': {**naa, 'force': True},
            'multipath.multipath_resize_map': naa,
        }.items()}

    def foreign(self):
        """Return the names of what belongs to others."""
        return (STRANGER, '127.0.0.3', self.sid, self.disk, self.hctl,
                f'/dev/{self.disk}', f'../{self.disk}', 'ubda', 'dm-0',
                base.DISK.name, str(base.DISK), '0' * 32,
                '36001405' + '0' * 25, *self.hctl)

    def test_each_parameter_of_each_verb(self):
        verbs = hostile.verbs_of(privileged.initiator_context)
        values = (*hostile.VALUES, *self.foreign())
        calls, seen, parts = 0, {}, 0
        for verb, function in sorted(verbs.items()):
            names = hostile.parameters_of(function)
            # What is ours may have been detached.
            attaching.ours(False).connect_volume(self.attachment.data)
            good = self.valid().get(verb, {})
            self.assertEqual(
                names, list(good), 'tell the hostile suite '
                f'(test_hostile_initiator.py, valid) what {verb} takes')
            for name in names:
                some = [[*({**good, name: value}.values())] for value in
                        hostile.mutations(good[name], values)]
                parts += len(some) // len(values)
                for answer, args in zip(
                        self.caller.call(verb, some), some, strict=True):
                    seen.setdefault(answer.kind, []).append(
                        f'{verb}({args!r:.200}): {answer.text:.200}')
                calls += len(some)
            some = [[], [*good.values(), 1], [None] * 40]
            for answer in self.caller.call(verb, some):
                seen.setdefault(answer.kind, []).append(f'{verb}: {answer}')
            calls += len(some)
            self.assert_outside_is_as_before(verb)
            print(f'{verb}: {calls} calls up to here', file=sys.stderr)
        for kind in ('broken', 'blocked', 'lost'):
            self.assertEqual([], seen.get(kind, [])[:20])
        done = seen.get('done', ())
        print(f'\n{len(verbs)} verbs x {parts} parameters and parts x '
              f'{len(values)} values = {calls} calls, 0 succeeded; '
              f'{len(done)} did what ours may do: ' + str(dict(
                  collections.Counter(d.partition('(')[0] for d in done))),
              file=sys.stderr)

    def test_what_is_right_works(self):
        # The suite is of no use where the other parameters are wrong, too.
        good = self.valid()
        for verb in (
                DEVICES + 'scan', DEVICES + 'read_naa', DEVICES + 'rescan',
                DEVICES + 'flush', MULTIPATH + 'multipath_claim',
                MULTIPATH + 'multipath_unclaim', DEVICES + 'delete',
                SESSIONS + 'login', DEVICES + 'scan', DEVICES + 'delete',
                SESSIONS + 'logout', SESSIONS + 'forget'):
            answer = self.caller.one(verb, *good[verb].values())
            self.assertEqual('done', answer.kind, (verb, answer.text))

    # -- what was seen

    def test_a_foreign_session(self):
        self.assert_refused(self.caller.one(
            f'{SESSIONS}logout', self.sid, STRANGER))

    def test_a_foreign_mounted_disk(self):
        naa = attaching.disk_naa(f'/dev/{self.disk}')
        for verb in ('delete', 'rescan'):
            self.assert_refused(self.caller.one(
                DEVICES + verb, self.hctl, naa))
        self.assert_refused(self.caller.one(f'{DEVICES}flush', self.disk))
        self.assert_refused(self.caller.one(f'{DEVICES}flush', 'ubda'))

    def test_a_foreign_record(self):
        portal = '127.0.0.3', 3260
        self.assert_refused(self.caller.one(
            f'{SESSIONS}login', STRANGER, *portal, ['x', 'yyyyyyyyyyyyy', None,
                                                None], 5.0))
        self.assert_refused(self.caller.one(
            f'{SESSIONS}forget', STRANGER, *portal))

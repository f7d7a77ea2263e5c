# SPDX-License-Identifier: Apache-2.0
"""The service on the real kernel target: errors, foreign objects, growth."""

import os
from pathlib import Path
import sqlite3
import statistics
import sys
import tempfile
import threading
import time
import unittest
from unittest import mock
import uuid

from oslo_concurrency import lockutils
import rtslib_fb

from mydriver import connection, discovery, exception, model
from mydriver.connection import iscsi
from mydriver.target import configfs, factory, pool, recorded
from tests.fakes import connecting, devices
from tests.functional import lio

ALICE = model.Iqn('iqn.1993-08.org.debian:01:alice')
BOB = model.Iqn('iqn.1993-08.org.debian:01:bob')
HOST_A = {'initiator': str(ALICE), 'host': 'a'}
HOST_B = {'initiator': str(BOB), 'host': 'b'}
PORTALS = (model.Portal('127.0.0.1'), model.Portal('127.0.0.2'))
MIB = 1 << 20


class ServiceOnLioTest(unittest.TestCase):
    """All of the service, from the journal to the kernel and back."""

    def setUp(self):
        super().setUp()
        lio.use(self)
        folder = tempfile.TemporaryDirectory(dir='/var/tmp')
        self.addCleanup(folder.cleanup)
        self.folder = Path(folder.name)
        lio.grant(self, be=folder.name)
        lockutils.set_defaults(str(self.folder))
        self.addCleanup(lio.clear)
        self.service = self.build()

    def build(self, portals=PORTALS, *, replace_damaged=False,
              discovery_timeout_s=2.0):
        built = factory.build(pool.Settings(
            'be', 'iqn.2010-10.org.openstack:', portals, True,
            str(self.folder), discovery_timeout_s=discovery_timeout_s),
            devices.FolderDevices(self.folder),
            replace_damaged=replace_damaged)
        built.check()
        built.reconciler.start()
        return built

    def exported(self, size_bytes=16 * MIB):
        volume_id = str(uuid.uuid4())
        path = self.folder / f'volume-{volume_id}'
        with path.open('wb') as f:
            f.truncate(size_bytes)
        self.service.create_export(volume_id)
        return volume_id

    def journal(self):
        with sqlite3.connect(self.folder / 'journal.sqlite') as db:
            return [line for line in db.iterdump() if '"seal"' not in line]

    def state(self):
        return lio.dump(), self.journal()

    def assert_refused(self, error, text, volume_id, connector):
        before = self.state()
        with self.assertRaises(error) as caught:
            connecting.connect(self.service, volume_id, connector)
        print(f'\n{type(caught.exception).__name__}: {caught.exception}',
              file=sys.stderr)
        self.assertIn(text, str(caught.exception))
        self.assertEqual(before, self.state())

    def test_missing_iqn(self):
        self.assert_refused(
            exception.NoInitiatorName, 'no initiator name',
            self.exported(), {'host': 'a'})

    def test_wrong_iqn(self):
        self.assert_refused(
            exception.InvalidConnector, 'iqn.2026-11.lab:x',
            self.exported(), {'initiator': 'iqn.2026-11.lab:x'})

    def test_stopped_target(self):
        volume_id = self.exported()
        for iqn in (configfs.ROOT / 'iscsi').glob('iqn.*'):
            (iqn / 'tpgt_1/enable').write_text('0')
        self.assert_refused(
            exception.TargetNotDiscovered, 'does not show the target',
            volume_id, HOST_A)

    def test_unreachable_portal(self):
        volume_id = self.exported()
        for portal in configfs.ROOT.glob('iscsi/iqn.*/tpgt_1/np/*'):
            portal.rmdir()
        self.assert_refused(
            exception.TargetNotDiscovered, 'refused', volume_id, HOST_A)

    def test_one_of_two_portals_unreachable(self):
        volume_id = self.exported()
        for portal in configfs.ROOT.glob('iscsi/*/tpgt_1/np/127.0.0.1:*'):
            portal.rmdir()
        data = connecting.connect(self.service, volume_id, HOST_A)
        self.assertEqual(PORTALS[1:],
                         iscsi.Connection.parse(data).portals)

    def test_discovery_shows_a_target_to_its_initiator_only(self):
        data = connecting.connect(self.service, self.exported(), HOST_A)
        for portal in PORTALS:
            self.assertEqual([data['target_iqn']], list(
                discovery.discover(portal, ALICE, 2.0)))
            self.assertEqual({}, discovery.discover(portal, BOB, 2.0))

    def test_secret_is_not_in_the_journal(self):
        marked = {**HOST_A, connection.MARKER:
                  connection.Capabilities(True, True).mark()}
        data = connecting.connect(self.service, self.exported(), marked)
        chap = iscsi.Connection.parse(data).chap
        raw = b''.join(p.read_bytes() for p in self.folder.glob('journal*'))
        self.assertIn(str(ALICE).encode(), raw)
        for secret in (chap.password, chap.mutual_password):
            self.assertNotIn(secret.encode(), raw)

    def test_restart_disturbs_nothing(self):
        connecting.connect(self.service, self.exported(), HOST_A)
        before = self.state()
        self.service = self.build()
        self.assertEqual(before, self.state())

    def test_reboot_brings_all_back(self):
        mapped, exported = self.exported(), self.exported()
        connecting.connect(self.service, mapped, HOST_A)
        before = lio.dump()
        lio.clear()
        self.assertNotEqual(before, lio.dump())
        self.service = self.build()
        self.assertEqual(_comparable(before), _comparable(lio.dump()))
        self.assertTrue(any(exported in name for name in before))

    def test_a_lost_journal_after_a_boot(self):
        volumes = [self.exported() for _ in range(6)]
        told = {}
        for volume_id in (*volumes, volumes[0]):
            for host in (HOST_A, HOST_B):
                told[volume_id, host['host']] = (
                    connecting.connect(self.service, volume_id, host))
        connecting.disconnect(self.service, volumes[2], HOST_A)
        del told[volumes[2], 'a']
        before = lio.dump()
        lio.clear()
        self.service._journal.close()
        for path in [*self.folder.glob('journal*'),
                     *self.folder.glob('chap.key*')]:
            path.unlink()
        self.service = self.build()
        attachments = []
        for (volume_id, host), data in told.items():
            parsed = iscsi.Connection.parse(data)
            path = parsed.paths[0]
            attachments.append(recorded.Recorded(
                model.Mapping(volume_id, {'a': ALICE, 'b': BOB}[host],
                              path.lun), path.target, parsed.chap,
                parsed.portals))
        for made in (11, 0):
            self.assertEqual(made, self.service.reconciler.remake(
                attachments))
        self.assertEqual(_mapped(before), _mapped(lio.dump()))
        there = {v.strip() for v in lio.dump().values()}
        for data in told.values():
            self.assertIn(data['auth_password'], there)

    def test_a_host_is_renamed(self):
        volume_id = self.exported()
        data = connecting.connect(self.service, volume_id, HOST_A)
        before = _mapped(lio.dump())
        names = configfs.names()
        for n in range(3):
            self.service._journal.close()
            with mock.patch('socket.gethostname', return_value=f'other{n}'):
                self.service = self.build()
            self.assertEqual(before, _mapped(lio.dump()))
        self.assertEqual(5, len(configfs.names()))
        self.assertIn(data['target_iqn'], configfs.names())
        connecting.disconnect(self.service, volume_id, HOST_A)
        self.service.remove_export(volume_id)
        self.service._journal.close()
        self.service = self.build()
        self.assertEqual(names, configfs.names())

    def test_strangers_are_untouched(self):
        strangers = _strangers(self.folder)
        before = _below(lio.dump(), strangers)
        self.assertGreater(len(before), 50)
        self.service = self.build()
        volume_id = self.exported()
        connecting.connect(self.service, volume_id, HOST_A)
        self.assertEqual(before, _below(lio.dump(), strangers))
        self.service.reconciler.settle(lambda _v, _i: False)
        connecting.disconnect(self.service, volume_id, HOST_A)
        self.service.remove_export(volume_id)
        self.assertEqual(before, _below(lio.dump(), strangers))

    def test_nothing_is_left(self):
        before = lio.dump()
        volume_id = self.exported()
        connecting.connect(self.service, volume_id, HOST_A)
        connecting.connect(self.service, volume_id, HOST_B)
        connecting.disconnect(self.service, volume_id, HOST_A)
        connecting.disconnect(self.service, volume_id, HOST_B)
        self.service.remove_export(volume_id)
        self.assertEqual(before, lio.dump())

    def test_many_at_once(self):
        self.service = self.build(discovery_timeout_s=30.0)
        before, threads = lio.dump(), 32
        volumes = [self.exported(MIB) for _ in range(threads)]
        done, waits, errors = [], [], []

        def timed(call, *args):
            asked, started = len(done), time.monotonic()
            call(*args)
            done.append(call.__name__)
            waits.append((time.monotonic() - started, len(done) - asked))

        def work(volume_id):
            try:
                for _ in range(3):
                    timed(connecting.connect, self.service, volume_id,
                          HOST_A)
                    timed(connecting.disconnect, self.service, volume_id,
                          HOST_A)
            except exception.MyDriverError as e:
                errors.append(str(e))

        running = [threading.Thread(target=work, args=(v,)) for v in volumes]
        for thread in running:
            thread.start()
        for thread in running:
            thread.join()
        spent, overtaken = zip(*waits, strict=True)
        print(f'\n{threads} threads: median {statistics.median(spent):.1f} s, '
              f'longest {max(spent):.1f} s, overtaken by {max(overtaken)}',
              file=sys.stderr)
        self.assertEqual([], errors)
        self.assertEqual(6 * threads, len(done))
        # Each call waits in two queues, and lets everybody by in each.
        self.assertLess(max(overtaken), 4 * threads)
        for volume_id in volumes:
            self.service.remove_export(volume_id)
        self.assertEqual(before, lio.dump())

    def test_damaged_journal_is_rebuilt_from_the_kernel(self):
        connecting.connect(self.service, self.exported(), HOST_A)
        before = self.state()
        self.service._journal.close()
        os.truncate(self.folder / 'journal.sqlite', 5000)
        with self.assertRaises(exception.JournalDamaged):
            self.build()
        self.service = self.build(replace_damaged=True)
        self.assertEqual(before[0], lio.dump())
        # It cannot know which run made a mapping.
        self.assertEqual(
            sorted(before[1]), sorted(line.replace(
                "'adopted'", f"'{factory.run_id()}'")
                for line in self.journal()))
        self.assertEqual(1, len(list(self.folder.glob('*.damaged-*Z'))))

    def test_attach_time_does_not_grow_with_mappings(self):
        self._fill(10)
        few, few_speed = self._attach_ms()
        self._fill(490)
        many, many_speed = self._attach_ms()
        # The machine may be twice as fast a second later: system calls that
        # have nothing to do with the target tell how fast it just was.
        ratio = many / few * few_speed / many_speed
        print(f'\ncreate_export + initialize_connection: {few:.1f} ms at 10 '
              f'mappings, {many:.1f} ms at 500; ratio {ratio:.2f} at equal '
              'speed of the machine', file=sys.stderr)
        # Generous for a noisy machine. A walk over all objects gives 10.
        self.assertLess(ratio, 2)

    def _fill(self, count):
        for n in range(count):
            connecting.connect(self.service, self.exported(MIB),
                               (HOST_A, HOST_B)[n % 2])

    def _attach_ms(self):
        spent, speed = [], []
        for _ in range(15):
            speed.append(_system_calls_ms())
            started = time.perf_counter()
            volume_id = self.exported(MIB)
            connecting.connect(self.service, volume_id, HOST_A)
            spent.append((time.perf_counter() - started) * 1e3)
            connecting.disconnect(self.service, volume_id, HOST_A)
            self.service.remove_export(volume_id)
            os.unlink(self.folder / f'volume-{volume_id}')
        return statistics.median(spent), statistics.median(speed)


def _system_calls_ms():
    started = time.perf_counter()
    for _ in range(100):
        os.path.exists('/nonexistent')
    return (time.perf_counter() - started) * 1e3


def _strangers(folder):
    """Make exports as targetcli would; return parts of their paths."""
    path = folder / 'stranger'
    with path.open('wb') as f:
        f.truncate(MIB)
    store = rtslib_fb.FileIOStorageObject('stranger', str(path), MIB)
    tpg = rtslib_fb.TPG(rtslib_fb.Target(
        rtslib_fb.FabricModule('iscsi'),
        'iqn.2003-01.org.linux-iscsi.stranger:disk'), 1)
    rtslib_fb.NetworkPortal(tpg, '127.0.0.3', 3260)
    rtslib_fb.LUN(tpg, 0, store)
    acl = rtslib_fb.NodeACL(tpg, str(ALICE))
    acl.chap_userid, acl.chap_password = 'stranger', 'strangersecret'
    rtslib_fb.MappedLUN(acl, 0, 0)
    tpg.enable = True
    return tpg.parent_target.path, str(store.path)


def _below(dump, paths):
    return {k: v for k, v in dump.items() if k.startswith(paths)}


def _mapped(dump):
    """Return the links of mapped LUNs and the backstores that they lead to.

    The LUN in the TPG does not matter.
    """
    return {k: dump.get(f'{v}/mydriver') for k, v in dump.items()
            if '/acls/' in k and k.endswith('/mydriver')}


def _comparable(dump):
    """Leave out what the kernel counts up with each object that it makes."""
    return {k: v for k, v in dump.items()
            if not k.endswith(('/hba_id', '/dynamic_sessions'))}


if __name__ == '__main__':
    unittest.main()

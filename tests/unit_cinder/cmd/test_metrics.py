# SPDX-License-Identifier: Apache-2.0
"""``mydriver metrics``."""

import contextlib
import os
from pathlib import Path
import socket
import stat
import threading
import time
from unittest import mock
import urllib.request

import prometheus_client
from prometheus_client import parser

from mydriver import exception, model
from mydriver.backend import settings
from mydriver.cmd.monitoring import (
    backend,
    catalogue,
    collector,
    serving,
)
from mydriver.stores import base
from mydriver.stores.lvmthin import pool as thinpool
from mydriver.stores.lvmthin import store as lvmthin
from mydriver.target import statistics
from mydriver.target.journal import sqlite
from tests.fakes import kernel_tree
from tests.fakes.commands import FIRST, HOST, SECOND, TARGET, CommandTestCase
from tests.fakes.gateways.beating import Beating
from tests.fakes.gateways.commands import ONE, TWO, GatewaysTestCase
from tests.fakes.thinpool import FakePool

MIB = 1 << 20
TARGET_LABELS = {'backend': 'disks', 'target': str(TARGET)}


def parsed(text):
    """Return values by metric and labels."""
    return {(s.name, frozenset(s.labels.items())): s.value
            for family in parser.text_string_to_metric_families(text)
            for s in family.samples}


class MetricsTestCase(CommandTestCase):
    """Two exports; the first is mapped to an initiator that is logged in."""

    def setUp(self):
        super().setUp()
        self.tree = kernel_tree.Tree(Path(self.folder))
        self.enterContext(mock.patch.object(
            statistics, 'HOST', self.tree.statistics()))
        self.store = mock.create_autospec(base.VolumeStore, instance=True)
        self.store.capacity.return_value = base.Capacity(100, 60, 200)
        self.enterContext(mock.patch.object(
            settings, 'store_of', self.store_of))

    def store_of(self, _section, _name):
        return self.store

    def fill(self):
        super().fill()
        self.tree.target(str(TARGET), sessions=1, accepts=4, fails=3,
                         timeouts=2)
        self.tree.export(str(TARGET), 0, 'disks', FIRST, device=(253, 7),
                         io=(9, 20, 30))
        self.tree.disk((253, 7), in_flight=5)
        self.tree.export(str(TARGET), 1, 'disks', SECOND)
        self.tree.mapping(str(TARGET), str(HOST), 1, 0)

    def metrics(self, *argv):
        """Return status, values, and the log."""
        status, out, err = self.run_command('metrics', *argv)
        return status, parsed(out), err

    def assert_value(self, found, value, name, **labels):
        key = f'mydriver_{name}', frozenset(labels.items())
        self.assertEqual(value, found.get(key), (key, sorted(
            k for k in found if k[0] == key[0])))


class MetricsTest(MetricsTestCase):
    """Values, and their absence."""

    def test_a_backend_that_is_well(self):
        self.fill()
        status, found, err = self.metrics('disks')
        self.assertEqual(0, status, err)
        for value, name, labels in (
                (100, 'store_size_bytes', {}), (60, 'store_free_bytes', {}),
                (200, 'store_provisioned_bytes', {}),
                (1, 'journal_present', {}), (1, 'targets', {}),
                (2, 'exports', {}), (1, 'mappings', {}),
                (0, 'drift_objects', {'kind': 'targets'}),
                (0, 'drift_objects', {'kind': 'exports'}),
                (0, 'drift_objects', {'kind': 'mappings'}),
                (1, 'scrape_success', {'part': 'store'}),
                (1, 'scrape_success', {'part': 'exports'})):
            self.assert_value(found, value, name, backend='disks', **labels)
        for value, name in ((1, 'sessions'), (4, 'logins_total'),
                            (3, 'login_failures_total')):
            self.assert_value(found, value, name, **TARGET_LABELS)
        for value, reason in ((0, 'digest'), (2, 'timeout'), (0, 'format')):
            self.assert_value(found, value, 'session_errors_total',
                              reason=reason, **TARGET_LABELS)
        for value, name in (
                (9, 'commands_total'), (20 * MIB, 'read_bytes_total'),
                (30 * MIB, 'written_bytes_total'), (5, 'inflight_requests')):
            self.assert_value(found, value, f'export_{name}',
                              backend='disks', volume_id=FIRST)

    def test_what_there_is_not_is_absent(self):
        self.fill()
        _, found, _ = self.metrics('disks')
        volume = {'backend': 'disks', 'volume_id': SECOND}
        self.assert_value(found, 0, 'export_commands_total', **volume)
        self.assert_value(found, None, 'export_inflight_requests', **volume)
        self.assertEqual([], [name for name, _ in found
                              if 'pool' in name or 'gateways' in name])

    def test_drift(self):
        self.fill()
        acl = self.tree.tpg(str(TARGET)) / 'acls' / str(HOST)
        self.tree.write(acl / 'lun_1/write_protect', 1)
        (self.tree.tpg(str(TARGET)) / 'lun/lun_1/mydriver').unlink()
        _, found, _ = self.metrics('disks')
        for value, kind in ((0, 'targets'), (1, 'exports'), (1, 'mappings')):
            self.assert_value(found, value, 'drift_objects', backend='disks',
                              kind=kind)

    def test_drift_of_a_target_that_is_lost(self):
        CommandTestCase.fill(self)
        _, found, _ = self.metrics('disks')
        for value, kind in ((1, 'targets'), (2, 'exports'), (1, 'mappings')):
            self.assert_value(found, value, 'drift_objects', backend='disks',
                              kind=kind)

    def test_a_target_that_cannot_be_read(self):
        self.fill()
        self.tree.damage(self.tree.tpg(str(TARGET)) / 'lun')
        status, found, err = self.metrics('disks')
        self.assertEqual(1, status)
        self.assertIn('tpgt_1/lun: Too many levels', err)
        self.assert_value(found, 0, 'scrape_success', backend='disks',
                          part='exports')
        self.assert_value(found, 1, 'scrape_success', backend='disks',
                          part='store')
        for kind in ('targets', 'exports', 'mappings'):
            self.assert_value(found, None, 'drift_objects', backend='disks',
                              kind=kind)

    def test_one_value_that_cannot_be_read(self):
        """None of its part is there: some without others would mislead."""
        self.fill()
        self.tree.damage(self.tree.tpg(str(TARGET)).parent
                         / 'fabric_statistics/iscsi_tgt_attr/login_fails')
        status, found, err = self.metrics('disks')
        self.assertEqual(1, status)
        self.assertIn('login_fails: Too many levels', err)
        self.assert_value(found, 0, 'scrape_success', backend='disks',
                          part='exports')
        of_backend = {n for n, labels in found
                      if ('backend', 'disks') in labels}
        self.assertEqual(
            {'mydriver_scrape_success', 'mydriver_scrape_duration_seconds',
             *(f'mydriver_store_{n}_bytes'
               for n in ('size', 'free', 'provisioned'))}, of_backend)

    def test_no_journal_yet(self):
        status, found, _ = self.metrics('disks')
        self.assertEqual(0, status)
        self.assert_value(found, 0, 'journal_present', backend='disks')
        self.assert_value(found, None, 'exports', backend='disks')
        self.assert_value(found, 1, 'scrape_success', backend='disks',
                          part='exports')

    def test_a_broken_part_stops_neither_the_others_nor_other_backends(self):
        self.fill()
        with open(self.read()['disks'].journal_path, 'r+b') as f:
            f.write(b'this is no database' * 99)
        status, found, err = self.metrics()
        self.assertEqual(1, status)
        self.assertIn('Backend disks: exports: ', err)
        for value, name in ((0, 'disks'), (1, 'plain')):
            self.assert_value(found, value, 'scrape_success',
                              backend=name, part='exports')
            self.assert_value(found, 100, 'store_size_bytes',
                              backend=name)
        self.assert_value(found, None, 'exports', backend='disks')
        self.assert_value(found, None, 'drift_objects', backend='disks',
                          kind='exports')

    def test_a_setting_that_is_wrong_does_not_stop_other_backends(self):
        self.fill()
        with open(self.conf, 'a') as f:
            f.write('[plain]\nmydriver_state_path = relative\n')
        status, found, err = self.metrics()
        self.assertEqual(1, status)
        self.assertIn('Backend plain: exports: ', err)
        for value, name in ((1, 'disks'), (0, 'plain')):
            self.assert_value(found, value, 'scrape_success',
                              backend=name, part='exports')

    def test_a_journal_is_read_again_after_a_change(self):
        self.fill()
        path = Path(self.backend.journal_path)
        its = collector.Collector([backend.BackendSource(self.backend)])
        with mock.patch.object(sqlite, 'SqliteJournal',
                               wraps=sqlite.SqliteJournal) as opened:
            for age_s, calls in ((10, 1), (10, 1), (20, 2), (20, 2)):
                changed_s = int(time.time()) - age_s
                for file in path.parent.glob(f'{path.name}*'):
                    os.utime(file, (changed_s, changed_s))
                list(its.collect())
                self.assertEqual(calls, opened.call_count)

    def test_an_unexpected_error(self):
        self.fill()
        self.store.capacity.side_effect = KeyError('x')
        status, found, err = self.metrics('disks')
        self.assertEqual(1, status)
        self.assertIn('Backend disks: store cannot be read', err)
        self.assert_value(found, 2, 'exports', backend='disks')
        self.assert_value(found, None, 'store_size_bytes', backend='disks')

    def test_an_error_is_logged_once(self):
        self.store.capacity.side_effect = exception.StoreError('x', 'y')
        its = collector.Collector([backend.BackendSource(self.backend)])
        with self.assertLogs(collector.__name__, 'ERROR') as logged:
            for _ in range(3):
                list(its.collect())
        self.assertEqual(1, len(logged.output))

    def test_registering_reads_nothing(self):
        its = collector.Collector([backend.BackendSource(self.backend)])
        prometheus_client.CollectorRegistry().register(its)
        self.store.capacity.assert_not_called()
        self.assertEqual({m.exported_name for m in catalogue.METRICS}, {
            f'{m.name}_total' if m.type == 'counter' else m.name
            for m in its.describe()})

    def test_a_backstore_with_another_name(self):
        self.fill()
        self.tree.export(str(TARGET), 2, 'disks', '\x1b[2J')
        _, found, _ = self.metrics('disks')
        self.assertEqual(2, sum(name == 'mydriver_export_commands_total'
                                for name, _ in found))

    def test_two_luns_of_one_backstore(self):
        """A volume is in the metrics once, or Prometheus refuses all."""
        self.fill()
        self.tree.export(str(TARGET), 2, 'disks', FIRST, device=(253, 7),
                         io=(100, 200, 300))
        self.tree.disk((253, 7), in_flight=5)
        status, out, err = self.run_command('metrics', 'disks')
        self.assertEqual(0, status, err)
        samples = [x.rpartition(' ')[0] for x in out.splitlines()
                   if not x.startswith('#')]
        self.assertEqual(len(samples), len(set(samples)))
        for value, name in (
                (109, 'commands_total'), (220 * MIB, 'read_bytes_total'),
                (330 * MIB, 'written_bytes_total'), (5, 'inflight_requests')):
            self.assert_value(parsed(out), value, f'export_{name}',
                              backend='disks', volume_id=FIRST)

    def test_rivals(self):
        wants = Path(self.folder, 'etc/systemd/system/multi-user.target.wants')
        wants.mkdir(parents=True)
        for folder in (wants, wants.parent):
            (folder / 'target.service').write_text('[Service]')
        self.assert_value(self.metrics('disks')[1], 1, 'rival_warnings')


class PoolTest(MetricsTestCase):
    """Backends on a thin pool."""

    def test_a_pool_that_is_still_to_be_made(self):
        self.store = lvmthin.LvmThinStore('vg', FakePool(self.folder))
        status, found, err = self.metrics('disks')
        self.assertEqual(0, status, err)
        self.assert_value(found, 0, 'journal_present', backend='disks')
        self.assert_value(found, None, 'pool_working', backend='disks')

    def status(self, found):
        """Return the metrics for a state of the pool."""
        pool = FakePool(self.folder)
        pool.make(1000, 50, 64)
        self.store = lvmthin.LvmThinStore('vg/mydriver', pool)
        with mock.patch.object(pool, 'status', return_value=found):
            return self.metrics('disks')

    def test_a_pool(self):
        status, found, err = self.status(
            thinpool.Status(1000, 400, 50, 5))
        self.assertEqual(0, status, err)
        for value, name in ((1, 'pool_working'),
                            (1000, 'pool_data_size_bytes'),
                            (400, 'pool_data_used_bytes'),
                            (50, 'pool_metadata_size_bytes'),
                            (5, 'pool_metadata_used_bytes'),
                            (1000, 'store_size_bytes'),
                            (600, 'store_free_bytes')):
            self.assert_value(found, value, name, backend='disks')

    def test_a_pool_that_is_full(self):
        status, found, _ = self.status(
            thinpool.Status(1000, 1000, 50, 5, 'it has no room for data'))
        self.assertEqual(1, status)
        self.assert_value(found, 0, 'pool_working', backend='disks')
        self.assert_value(found, 1000, 'pool_data_used_bytes',
                          backend='disks')

    def test_a_pool_that_has_failed(self):
        _, found, _ = self.status(thinpool.Status(0, 0, 0, 0, 'it has failed'))
        self.assert_value(found, 0, 'pool_working', backend='disks')
        self.assert_value(found, None, 'pool_data_size_bytes',
                          backend='disks')

    def test_a_pool_that_is_not_active(self):
        status, found, err = self.status(None)
        self.assertEqual(1, status)
        self.assertIn('it is not active', err)
        self.assert_value(found, 0, 'pool_working', backend='disks')
        self.assert_value(found, None, 'store_size_bytes', backend='disks')


class WhereToTest(MetricsTestCase):
    """Files and HTTP."""

    def registry(self):
        found = prometheus_client.CollectorRegistry()
        found.register(collector.Collector(
            [backend.BackendSource(self.backend)]))
        return found

    def test_a_file_is_replaced(self):
        self.fill()
        path = Path(self.folder, 'text', 'mydriver.prom')
        path.parent.mkdir()
        path.write_text('old')
        before = path.stat().st_ino
        status, out, _ = self.run_command('metrics', 'disks', '--textfile',
                                          str(path))
        self.assertEqual((0, ''), (status, out))
        self.assertNotEqual(before, path.stat().st_ino)
        self.assertEqual([path], list(path.parent.iterdir()))
        self.assert_value(parsed(path.read_text()), 2, 'exports',
                          backend='disks')
        self.assertTrue(stat.S_IMODE(path.stat().st_mode) & stat.S_IROTH)

    def test_a_folder_that_is_not_there(self):
        status, _, err = self.run_command(
            'metrics', 'disks', '--textfile', f'{self.folder}/no/x.prom')
        self.assertEqual(1, status)
        self.assertIn('--textfile: ', err)

    def test_addresses(self):
        for text in ('127.0.0.1:9889', '[::1]:9889', '127.1.2.3:1'):
            self.assertEqual(text, str(serving.address(text, anywhere=False)))
        self.assertEqual('192.0.2.1:80', str(serving.address(
            '192.0.2.1:80', anywhere=True)))
        for text in ('192.0.2.1:9889', '0.0.0.0:9889', '[::]:9889',
                     '127.0.0.1', '[::1]', 'localhost:9889', '', ':9889',
                     '127.0.0.1:\u0663', '127.0.0.1:99999', '\x1b:1'):
            with self.subTest(text), self.assertRaises(
                    exception.ConfigurationError) as caught:
                serving.address(text, anywhere=False)
            self.assertRegex(str(caught.exception), '^--listen: .*[^.]\\. Use')
            self.assertNotIn('iSCSI', str(caught.exception))

    def test_another_address_needs_a_flag(self):
        status, _, err = self.run_command('metrics', '--listen',
                                          '192.0.2.1:9889')
        self.assertEqual(1, status)
        self.assertIn('--listen-anywhere', err)

    @contextlib.contextmanager
    def served(self, address='127.0.0.1'):
        with socket.create_server((address, 0)) as free:
            port = free.getsockname()[1]
        with serving.server(model.Portal(address, port),
                            self.registry()) as server:
            thread = threading.Thread(target=server.serve_forever)
            thread.start()
            try:
                yield port
            finally:
                server.shutdown()
                thread.join()

    def get(self, port):
        with urllib.request.urlopen(f'http://127.0.0.1:{port}/metrics',
                                    timeout=30) as answer:
            return parsed(answer.read().decode())

    def test_http(self):
        self.fill()
        with self.served() as port:
            self.assert_value(self.get(port), 9, 'export_commands_total',
                              backend='disks', volume_id=FIRST)
            self.tree.count(self.tree.tpg(str(TARGET))
                            / 'lun/lun_0/statistics/scsi_tgt_port',
                            'in_cmds', (10, 20, 30))
            self.assert_value(self.get(port), 10, 'export_commands_total',
                              backend='disks', volume_id=FIRST)

    def client(self, port):
        return self.enterContext(socket.create_connection(
            ('127.0.0.1', port), 30))

    def test_clients_that_send_nothing_stop_nobody(self):
        with self.served() as port:
            for _ in range(3):
                self.client(port).sendall(b'GET / HTTP/1.0\r\n')
            started = time.monotonic()
            self.get(port)
            self.assertLess(time.monotonic() - started,
                            serving._TIMEOUT_S / 2)

    def test_a_client_has_one_deadline_for_all_that_it_sends(self):
        with mock.patch.object(serving, '_TIMEOUT_S', 0.6), \
                self.served() as port:
            client, started = self.client(port), time.monotonic()
            client.sendall(b'GET / HTTP/1.0\r\n')
            with self.assertRaises(ConnectionError):
                while time.monotonic() - started < 20:
                    time.sleep(0.1)
                    client.sendall(b'X: y\r\n')
            self.assertLess(time.monotonic() - started, 5)
            self.get(port)

    def test_clients_are_bounded(self):
        with mock.patch.object(serving, '_CLIENTS_MAX', 2), \
                self.served() as port:
            some = [self.client(port) for _ in range(2)]
            self.assertEqual(b'', self.client(port).recv(1))
            for client in some:
                client.shutdown(socket.SHUT_WR)
                self.assertEqual(b'', client.recv(1))
            deadline = time.monotonic() + 20
            while True:  # they are gone soon
                try:
                    self.get(port)
                    break
                except OSError:
                    self.assertLess(time.monotonic(), deadline)

    def test_one_scrape_at_a_time(self):
        running, most = [], []

        def capacity():
            running.append(1)
            most.append(len(running))
            time.sleep(0.05)
            running.pop()
            return base.Capacity(100, 60, 200)

        self.store.capacity.side_effect = capacity
        with self.served() as port:
            threads = [threading.Thread(target=self.get, args=(port,))
                       for _ in range(4)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
        self.assertEqual([1] * 4, most)

    def test_a_port_in_use(self):
        with self.served() as port, self.assertRaisesRegex(
                exception.ConfigurationError, 'already in use|ss -ltnp'):
            serving.server(model.Portal('127.0.0.1', port), self.registry())

    def test_every_command_of_it_exits(self):
        for option in ('--dashboard', '--rules'):
            os.rename(self.conf, f'{self.conf}.away')
            status, out, _ = self.run_command('metrics', option)
            os.rename(f'{self.conf}.away', self.conf)
            self.assertEqual(0, status)
            self.assertIn('mydriver_exports' if 'd' in option[2]
                          else 'alert: MydriverDrift', out)


class ServedTest(GatewaysTestCase):
    """Backends that gateways serve."""

    assert_value = MetricsTestCase.assert_value

    def test_gateways_and_drift(self):
        its = self.export_two()
        tree = kernel_tree.Tree(Path(self.folder))
        tree.target(str(ONE), sessions=2)
        its.begin(ONE, 'gw0', 1)
        its.acknowledge(ONE, 'gw0', 1, its.generation(ONE),
                        {FIRST: 'it has no image'})
        store = mock.create_autospec(base.VolumeStore, instance=True)
        store.capacity.return_value = base.Capacity(3, 2, 1)
        with Beating(self.registry(), 'gw0', str(ONE)), mock.patch.object(
                statistics, 'HOST', tree.statistics()), mock.patch.object(
                    settings, 'store_of', return_value=store):
            status, out, err = self.run_command('metrics', 'ceph')
        self.assertEqual(0, status, err)
        found = parsed(out)
        for value, state in ((1, 'up'), (0, 'draining'), (0, 'gone')):
            self.assert_value(found, value, 'gateways', backend='ceph',
                              state=state)
        for value, kind in ((1, 'targets'), (1, 'exports'), (1, 'late')):
            self.assert_value(found, value, 'drift_objects', backend='ceph',
                              kind=kind)
        self.assert_value(found, 2, 'exports', backend='ceph')
        self.assert_value(found, 2, 'sessions', backend='ceph',
                          target=str(ONE))
        self.assert_value(found, None, 'sessions', backend='ceph',
                          target=str(TWO))

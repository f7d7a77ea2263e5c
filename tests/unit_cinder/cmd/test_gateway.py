# SPDX-License-Identifier: Apache-2.0
"""``mydriver gateway`` and its commands."""

import os
import signal
import threading
import time
from unittest import mock

from mydriver import exception
from mydriver.cmd import gateway as gateway_command
from mydriver.cmd import gateways
from mydriver.target.gateways import factory, gateway, members
from tests.fakes.gateways.beating import Beating
from tests.fakes.gateways.commands import CONF, ONE, TWO, GatewaysTestCase


class ListTest(GatewaysTestCase):
    """``mydriver gateway list``."""

    def test_gateways_of_all_backends(self):
        ceph, fast = self.registry(), self.registry('fast')
        with Beating(ceph, 'gw1', str(ONE), str(TWO)), \
                Beating(ceph, 'gw2', drains=False), Beating(fast, 'gw1'):
            with Beating(ceph, 'gw3', str(ONE)):
                pass
            ceph.drain('gw2', True)
            status, rows, _ = self.rows('gateway list')
        self.assertEqual(0, status)
        self.assertEqual([
            ('ceph', 'gw1', 'up', f'{ONE}\n{TWO}'),
            ('ceph', 'gw2', 'draining', ''),
            ('ceph', 'gw3', 'gone', ''),
            ('fast', 'gw1', 'up', '')],
            [tuple(r[c] for c in gateway_command.COLUMNS) for r in rows])

    def test_a_terminal_of_80_columns(self):
        with Beating(self.registry(), 'gateway1.example.net', str(ONE),
                     str(TWO)):
            for columns, shown in ((80, f'| ..{str(ONE)[-33:]} |'),
                                   (120, str(ONE))):
                _, out, _ = self.run_command('gateway list', 'ceph',
                                             '--max-width', str(columns))
                lines = out.splitlines()
                self.assertEqual(6, len(lines), out)
                self.assertLessEqual(len(lines[0]), columns)
                self.assertIn(shown, lines[3])
                self.assertEqual(columns == 120, str(ONE) in out, out)

    def test_without_gateways_it_is_empty(self):
        self.assertEqual((0, []), self.rows('gateway list', 'ceph')[:2])

    def test_what_a_gateway_of_another_release_says_is_left_out(self):
        self.objects['ceph'].write(gateway.OBJECT, {'gateway/gw9': '{}'})
        self.registry().say(members.Member('gw1', 'run', 1))
        _, rows, err = self.rows('gateway list', 'ceph')
        self.assertEqual(['gw1'], [r['Gateway'] for r in rows])
        self.assertEqual(1, err.count('What gateway gw9 says cannot be read'))

    def test_a_backend_without_gateways(self):
        for name in ('', ' list', ' drain'):
            status, out, err = self.run_command(f'gateway{name}', 'disks')
            self.assertEqual((1, ''), (status, out))
            self.assertIn('it is not set in [disks], so its own', err)

    def test_no_backend_with_gateways(self):
        self.write(CONF.replace('= disks,ceph,fast', '= disks'))
        for name in ('', ' list', ' drain'):
            status, _, err = self.run_command(f'gateway{name}')
            self.assertEqual(1, status)
            self.assertIn('mydriver_gateway_addresses: no backend sets it',
                          err)


class DrainTest(GatewaysTestCase):
    """``mydriver gateway drain`` and ``forget``."""

    def draining(self, backend='ceph'):
        return {m.name for m in self.registry(backend).all()
                if m.is_draining}

    def test_it_waits_until_nothing_is_served(self):
        with Beating(self.registry(), 'gw1', str(ONE)), \
                Beating(self.registry(), 'gw2', str(TWO)):
            status, *_ = self.run_command('gateway drain', '--name', 'gw1')
            served = {m.name: m.serves for m in self.registry().all()}
        self.assertEqual(0, status)
        self.assertEqual({'gw1': (), 'gw2': (str(TWO),)}, served)
        self.assertEqual({'gw1'}, self.draining())

    def test_undo(self):
        with Beating(self.registry(), 'gw1'):
            self.registry().drain('gw1', True)
            status, *_ = self.run_command('gateway drain', '--undo',
                                          '--name', 'gw1')
        self.assertEqual((0, set()), (status, self.draining()))

    def test_one_that_cannot_let_go(self):
        with Beating(self.registry(), 'gw1', str(ONE), drains=False):
            status, _, err = self.run_command(
                'gateway drain', '--name', 'gw1', '--timeout', '0.3')
        self.assertEqual(1, status)
        self.assertIn(f'gw1 still serves {ONE} of backend ceph after 0.3 s. '
                      'Is there another gateway?', err)

    def test_one_that_does_not_run(self):
        with Beating(self.registry(), 'gw1', str(ONE)):
            pass
        status, _, err = self.run_command('gateway drain', '--name', 'gw1')
        self.assertEqual(0, status)
        self.assertIn('gw1 of backend ceph is not running', err)
        self.assertEqual({'gw1'}, self.draining())

    def test_an_unknown_one(self):
        with Beating(self.registry(), 'gw1'), \
                Beating(self.registry('fast'), 'gw2'):
            for name in ('drain', 'forget'):
                status, _, err = self.run_command(
                    f'gateway {name}', '--name', 'gw7')
                self.assertEqual(1, status)
                self.assertIn('there is no gateway gw7. The gateways are: '
                              'gw1, gw2.', err)
        self.assertEqual(set(), self.draining())

    def test_only_the_backends_that_it_serves(self):
        with Beating(self.registry('fast'), 'gw2', 'x'):
            status, *_ = self.run_command('gateway drain', '--name', 'gw2')
        self.assertEqual(0, status)
        self.assertEqual((set(), {'gw2'}),
                         (self.draining(), self.draining('fast')))

    def test_forget(self):
        with Beating(self.registry(), 'gw1', str(ONE)):
            status, _, err = self.run_command('gateway forget', '--name',
                                              'gw1')
            self.assertEqual(1, status)
            self.assertIn('gw1 of backend ceph is running', err)
        self.registry().drain('gw1', True)
        status, *_ = self.run_command('gateway forget', '--name', 'gw1')
        self.assertEqual(0, status)
        self.assertEqual([], self.registry().all())
        with Beating(self.registry(), 'gw1'):
            self.assertEqual(set(), self.draining())


class FakeGateway:
    """Stands for a gateway of a backend."""

    def __init__(self, case, backend, name):
        self.case, self.backend, self.name = case, backend, name

    def run(self, end):
        case = self.case
        case.runs.append((self.backend, self.name))
        if case.faults and self.backend == 'ceph':
            raise case.faults.pop()
        case.serving.add(self.backend)
        if case.serving >= case.wanted:
            os.kill(os.getpid(), signal.SIGTERM)
        if not end.wait(10):
            raise AssertionError('nobody ended the gateway')


class ServeTest(GatewaysTestCase):
    """``mydriver gateway`` itself."""

    def setUp(self):
        super().setUp()
        self.runs, self.faults = [], []
        self.serving, self.wanted = set(), {'ceph'}
        self.enterContext(mock.patch.object(
            factory, 'build_gateway', self.build))
        for number in (signal.SIGTERM, signal.SIGINT):
            self.addCleanup(signal.signal, number, signal.getsignal(number))

    def build(self, settings, _connection, name, images_of):
        self.assertEqual(str(ONE)[-1:], str(images_of(ONE)._images._target))
        return FakeGateway(self, settings.backend, name)

    def test_it_serves_all_backends_until_it_is_ended(self):
        self.wanted = {'ceph', 'fast'}
        status, *_ = self.run_command('gateway', '--name', 'gw5')
        self.assertEqual(0, status)
        self.assertEqual([('ceph', 'gw5'), ('fast', 'gw5')],
                         sorted(self.runs))

    def test_the_named_backend_alone(self):
        status, *_ = self.run_command('gateway', 'ceph', '--name', 'gw5')
        self.assertEqual((0, [('ceph', 'gw5')]), (status, self.runs))

    def test_it_tries_again(self):
        self.wanted = {'ceph', 'fast'}
        self.faults = [KeyError('a defect'),
                       exception.CephError('answer', 'timed out')]
        status, _, err = self.run_command('gateway', '--name', 'gw5')
        self.assertEqual(0, status)
        self.assertEqual(3, self.runs.count(('ceph', 'gw5')))
        self.assertEqual(1, self.runs.count(('fast', 'gw5')))
        self.assertIn('Gateway gw5 cannot serve backend ceph: Ceph cannot '
                      'answer: timed out', err)
        self.assertIn('a defect', err)

    def test_one_process_of_a_host_serves_a_backend(self):
        backend = self.read()['ceph']
        self.wanted = {'fast'}
        with gateways.alone(backend):
            status, _, err = self.run_command('gateway', '--name', 'gw5')
            self.assertEqual((0, [('fast', 'gw5')]), (status, self.runs))
            self.assertIn('another process on this host serves backend ceph',
                          err)
        with gateways.alone(backend):
            pass

    def test_a_wrong_setting_affects_one_backend_only(self):
        self.write(CONF.replace('mydriver_rbd_pool = volumes',
                                'mydriver_rbd_pool = vol umes'))
        self.wanted = {'fast'}
        status, _, err = self.run_command('gateway', '--name', 'gw5')
        self.assertEqual((0, [('fast', 'gw5')]), (status, self.runs))
        self.assertIn('cannot serve backend ceph: mydriver_rbd_pool', err)


class AlivenessTest(GatewaysTestCase):
    """Who is alive is seen, not told."""

    def test_it_is_told_by_what_changes(self):
        registry = self.registry()
        with Beating(registry, 'gw1'):
            pass
        started = threading.Timer(0.05, lambda: registry.say(
            members.Member('gw2', 'run', 1)))
        started.start()
        before = time.monotonic()
        self.assertEqual([('gw1', False), ('gw2', True)],
                         [(m.name, a) for m, a in gateways.look(registry)])
        self.assertGreater(time.monotonic() - before, 0.1)
        started.join()

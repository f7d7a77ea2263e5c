# SPDX-License-Identifier: Apache-2.0
"""What is kept: options, the seeded copy; and when a report is fresh."""

import argparse
import contextlib
import datetime
import io
from pathlib import Path
import shlex
import shutil
import tempfile
import time
import unittest
from unittest import mock

import ddt

from lab.cloud import (
    cli,
    errors,
    logs,
    prerequisites,
    ready,
    settings,
    status,
    up,
)
from lab.cloud.control import seed_cache
from lab.cloud.node import kinds
from lab.cloud.node import node as cloud_node
from lab.cloud.steps import wait
from lab.cloud.steps.registry import Registry
from tests.unit_lab.lab.test_cloud_config import make_site, secrets_of


class FolderTestCase(unittest.TestCase):

    def setUp(self) -> None:
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = Path(folder.name)
        self.layout = settings.Layout(self.folder / 'cloud')


class OptionsTest(FolderTestCase):

    def test_status_brings_them_back(self) -> None:
        options = settings.Options('libvirt.LibvirtDriver',
                                   ('lvm', 'mydriver'), 2, 'lvmthin',
                                   cinder_mode='native')
        up.note(self.layout, options, 'up')
        noted = self.layout.read_status()
        self.assertEqual('up', noted['phase'])
        self.assertEqual(options, settings.Options.load(noted['options']))

    def test_no_status_is_down(self) -> None:
        self.assertEqual({}, self.layout.read_status())
        self.assertFalse(up.is_up(self.layout))
        with contextlib.redirect_stdout(io.StringIO()) as out:
            self.assertEqual(1, status.show(self.layout))
        self.assertEqual('down\n', out.getvalue())

    def test_one_of_another_release_is_not_used(self) -> None:
        up.note(self.layout, settings.Options(), 'up')
        up.check_release(self.layout)
        with self.assertRaisesRegex(errors.CloudError, 'make down'):
            up.check_release(self.layout, Path('/clone/.lab/venv-2025.2'))

    def test_noted_as_up_but_without_nodes_is_not_up(self) -> None:
        up.note(self.layout, settings.Options(), 'up')
        self.assertFalse(up.is_up(self.layout))


class SeedCacheTest(FolderTestCase):

    def setUp(self) -> None:
        super().setUp()
        self.image = self.folder / 'image'
        self.image.write_bytes(b'one')
        (self.folder / 'constraints.txt').write_text('nova==34.0.0\n')

    def key(self) -> str:
        return seed_cache.key(self.image, self.folder)

    def test_key_is_stable(self) -> None:
        self.assertEqual(self.key(), self.key())

    def test_key_follows_image_and_versions(self) -> None:
        keys = {self.key()}
        self.image.write_bytes(b'two')
        keys.add(self.key())
        (self.folder / 'constraints.txt').write_text('nova==34.0.1\n')
        keys.add(self.key())
        self.assertEqual(3, len(keys))

    def test_key_follows_the_release(self) -> None:
        pins = self.folder / 'constraints-2025.2.txt'
        pins.write_text('nova==32.0.0\n')
        venv = self.folder / '.lab' / 'venv-2025.2'
        keys = {self.key(), seed_cache.key(self.image, self.folder, venv)}
        pins.write_text('nova==32.1.0\n')
        keys.add(seed_cache.key(self.image, self.folder, venv))
        self.assertEqual(3, len(keys))

    def fill(self, text: str) -> None:
        for part in ('mysql', 'lib/keystone', 'lib/glance'):
            (self.layout.run / part).mkdir(parents=True, exist_ok=True)
            (self.layout.run / part / 'file').write_text(text)
        self.layout.credentials.write_text(text)

    def test_keep_and_restore(self) -> None:
        self.fill('seeded')
        kept = seed_cache.SeedCache(self.layout, 'k1')
        self.assertFalse(kept.there())
        kept.keep()
        self.assertTrue(kept.there())
        shutil.rmtree(self.layout.run)
        kept.restore()
        self.assertEqual(
            'seeded', (self.layout.mysql / 'file').read_text())
        self.assertEqual('seeded', self.layout.credentials.read_text())

    def test_only_the_newest_copy_stays(self) -> None:
        self.fill('x')
        first = seed_cache.SeedCache(self.layout, 'k1')
        first.keep()
        seed_cache.SeedCache(self.layout, 'k2').keep()
        self.assertFalse(first.there())

    def test_half_a_copy_does_not_count(self) -> None:
        kept = seed_cache.SeedCache(self.layout, 'k1')
        self.fill('x')
        shutil.rmtree(self.layout.run / 'lib')
        with self.assertRaisesRegex(errors.CloudError, 'lib/keystone'):
            kept.keep()
        self.assertFalse(kept.there())


class _Client:
    """APIs with these answers."""

    def __init__(self, **answers: dict[str, object]) -> None:
        self.answers = answers

    def get(self, service: str, path: str) -> object:
        return self.answers[service][path]


def _row(binary: str, at: float, state: str = 'up',
         host: str = 'control') -> dict[str, str]:
    stamp = datetime.datetime.fromtimestamp(at, datetime.UTC)
    return {'binary': binary, 'state': state, 'host': host,
            'updated_at': stamp.strftime('%Y-%m-%dT%H:%M:%S.000000')}


@ddt.ddt
class ReadyTest(unittest.TestCase):

    NOW = 1_800_000_000.0

    @ddt.data((0, True), (30, True), (-30, False))
    @ddt.unpack
    def test_fresh(self, offset: int, expected: bool) -> None:
        row = _row('x', self.NOW + offset)
        self.assertIs(expected, ready.fresh(row, self.NOW))

    def test_never_reported_is_not_fresh(self) -> None:
        self.assertFalse(ready.fresh({'updated_at': None}, self.NOW))

    def test_report_of_a_copy_does_not_count(self) -> None:
        client = _Client(nova={'/v2.1/os-services': {
            'services': [_row('nova-conductor', self.NOW - 600)]}})
        with self.assertRaisesRegex(wait.NotReady, 'nova-conductor: up'):
            ready.nova_service(client, 'nova-conductor', self.NOW)

    def volume_client(self, *pools: str) -> _Client:
        return _Client(cinder={
            '/v3/os-services': {'services': [
                _row('cinder-volume', self.NOW, host='storage@mydriver'),
                _row('cinder-volume', self.NOW, host='storage@lvm',
                     state='down')]},
            '/v3/scheduler-stats/get_pools': {
                'pools': [{'name': p} for p in pools]}})

    def test_volume_wants_every_backend(self) -> None:
        client = self.volume_client('storage@mydriver#mydriver')
        self.assertTrue(ready.volume(client, settings.Options(), self.NOW))
        with self.assertRaises(wait.NotReady):
            ready.volume(client, settings.Options(
                backends=('mydriver', 'lvm')), self.NOW)

    def test_volume_wants_the_scheduler_to_know(self) -> None:
        with self.assertRaisesRegex(wait.NotReady, 'pool'):
            ready.volume(self.volume_client(), settings.Options(), self.NOW)

    def test_compute_wants_its_host_mapped(self) -> None:
        client = _Client(nova={
            '/v2.1/os-services': {
                'services': [_row('nova-compute', self.NOW)]},
            '/v2.1/os-hypervisors': {'hypervisors': []}})
        with self.assertRaisesRegex(wait.NotReady, 'mapped'):
            ready.compute(client, self.NOW)

    def test_compute_wants_its_inventory(self) -> None:
        client = _Client(
            nova={'/v2.1/os-services': {
                'services': [_row('nova-compute', self.NOW)]},
                '/v2.1/os-hypervisors': {'hypervisors': [{'state': 'up'}]}},
            placement={'/resource_providers': {
                'resource_providers': [{'uuid': 'u'}]},
                '/resource_providers/u/inventories': {'inventories': {}}})
        with self.assertRaisesRegex(wait.NotReady, 'inventory'):
            ready.compute(client, self.NOW)
        client.answers['placement']['/resource_providers/u/inventories'] = {
            'inventories': {'VCPU': {}}}
        self.assertTrue(ready.compute(client, self.NOW))

    def test_every_driver_serves(self) -> None:
        line = 'INFO Driver post RPC initialization completed successfully.\n'
        self.assertTrue(ready.drivers_serve(line * 2, 2))
        with self.assertRaisesRegex(wait.NotReady, '1 of 2'):
            ready.drivers_serve(line, 2)

    def test_look_says_why_not(self) -> None:
        def probe() -> bool:
            raise OSError('refused')

        self.assertEqual('refused', status.look(probe))
        self.assertEqual('', status.look(lambda: True))
        self.assertNotEqual('', status.look(lambda: None))


class NodesTest(FolderTestCase):

    def node(self, name: str, **options: object) -> cloud_node.Node:
        self.cloud = make_site(self.folder / 'cloud', **options)
        return cloud_node.Node(self.cloud, Registry(
            self.layout.pids, self.layout.logs), name)

    def test_environment_has_no_secret(self) -> None:
        for name in settings.NODES:
            env = self.node(name).environ()
            for secret in secrets_of(self.cloud):
                self.assertNotIn(secret, str(env))
            self.assertEqual(settings.address(name), env['CLOUD_ADDRESS'])

    def test_glance_is_where_the_options_say(self) -> None:
        for images, name, has in (
                ('control', 'storage', False), ('storage', 'storage', True),
                ('storage', 'compute', False)):
            node = self.node(name, images=images)
            command = shlex.split(node.environ()['CLOUD_GLANCE'])
            self.assertEqual(has, bool(command))
            self.assertEqual(has, cloud_node.GLANCE in node._services)
        command = shlex.split(self.node(
            'storage', images='storage').environ()['CLOUD_GLANCE'])
        self.assertIn(f'{settings.GLANCE}:9292', command)
        self.assertIn('glance.wsgi.api', command)

    def test_disk_is_made_once(self) -> None:
        disk = self.folder / 'disk' / 'ubda'
        cloud_node._format(disk, 1)
        with disk.open('r+b') as f:
            self.assertEqual(b'XFSB', f.read(4))
            f.seek(1 << 29)
            f.write(b'kept')
        self.assertLess(disk.stat().st_blocks * 512, 128 << 20)
        cloud_node._format(disk, 1)
        with disk.open('rb') as f:
            f.seek(1 << 29)
            self.assertEqual(b'kept', f.read(4))

    def test_node_that_was_not_started(self) -> None:
        with self.assertRaisesRegex(Exception, 'boot storage'):
            self.node('storage').process()

    def test_log_counts_from_the_last_start(self) -> None:
        node = self.node('storage')
        self.layout.run.mkdir(parents=True)
        self.layout.logs.mkdir()
        log = self.layout.log('cinder-volume')
        log.write_text('of before\n')
        before = time.time()
        with self.assertRaisesRegex(Exception, 'is down'):
            node.service('start')   # noted only when there is a node
        self.assertFalse((self.layout.run / 'cinder-volume.start').exists())
        node._note_start()
        with log.open('a') as f:
            f.write('of now\n')
        self.assertEqual('of now\n', node.log_since_start())
        self.assertGreaterEqual(node.started_at(), before)

    def test_a_restart_counts_from_the_end_of_the_old_process(self) -> None:
        """Which reports itself up once more while it stops."""
        node = self.node('storage')
        self.layout.run.mkdir(parents=True)
        ended = 0.0

        def check(argv: list[str]) -> None:
            nonlocal ended
            if argv[2] in ('stop', 'restart'):
                time.sleep(0.05)
                ended = time.time()

        box = mock.Mock(check=check)
        with mock.patch.object(node, 'mailbox', return_value=box):
            node.service('restart', 'folder')
        self.assertGreater(ended, 0)
        self.assertGreaterEqual(node.started_at(), ended)

    def test_unknown_node(self) -> None:
        with self.assertRaisesRegex(Exception, 'storage, compute$'):
            self.node('other')
        with self.assertRaisesRegex(Exception, 'storage, compute, gw1, gw2$'):
            self.node('gw3', store='rbd', gateways=2)

    def test_gateways_have_logs_of_their_own(self) -> None:
        for name, log in (('gw1', 'mydriver-gateway-gw1'),
                          ('gw2', 'mydriver-gateway-gw2'),
                          ('storage', 'cinder-volume')):
            node = self.node(name, store='rbd', gateways=2)
            self.assertEqual(log, node.environ()['CLOUD_LOG'])
            self.assertEqual(f'{log}.log', node._log.name)

    def test_gateways_serve_rather_than_the_storage_node(self) -> None:
        for gateways in (0, 2):
            env = self.node('storage', store='rbd',
                            gateways=gateways).environ()
            self.assertEqual(not gateways, bool(env['CLOUD_RESTORE']))

    def test_every_node_has_a_payload(self) -> None:
        for name in settings.ALL_NODES:
            kind = kinds.of(name, settings.Options(gateways=8, volumes=3))
            path = Path(kinds.__file__).with_name(f'{kind.payload}.sh')
            self.assertTrue(path.exists(), path)


@ddt.ddt
class CliTest(FolderTestCase):

    def parse(self, *argv: str) -> argparse.Namespace:
        parser = argparse.ArgumentParser()
        cli.register(parser.add_subparsers())
        return parser.parse_args(['cloud', *argv])

    def test_defaults_are_ours(self) -> None:
        args = self.parse('up')
        self.assertEqual('mydriver.LibvirtDriver', args.compute_driver)
        self.assertEqual(('mydriver',), args.backends)

    def test_backends(self) -> None:
        self.assertEqual(('lvm', 'mydriver'), self.parse(
            'up', '--volume-driver', 'lvm,mydriver').backends)

    @ddt.data('nfs', 'lvm,lvm', '')
    def test_wrong_backends(self, text: str) -> None:
        with contextlib.redirect_stderr(io.StringIO()) as err, \
                self.assertRaises(SystemExit):
            self.parse('up', '--volume-driver', text)
        self.assertIn('mydriver, mydriver-2, lvm', err.getvalue())

    def test_exec_takes_a_command_with_options(self) -> None:
        args = self.parse('exec', 'compute', '--', 'ls', '-l')
        self.assertEqual(['ls', '-l'], args.argv)

    @ddt.data(('shell', 'bash', '-c', 'x'), ('shell', '--', 'bash', '-c', 'x'))
    def test_shell_takes_a_command_with_options(
            self, argv: tuple[str, ...]) -> None:
        args = self.parse(*argv)
        with mock.patch('lab.cloud.api.Cloud') as cloud:
            args.func(args)
        cloud.return_value.shell.assert_called_once_with(['bash', '-c', 'x'])

    @ddt.data('reboot', 'kill', 'boot', 'join', 'stall', 'resume')
    def test_actions_are_the_clouds(self, action: str) -> None:
        args = self.parse(action, 'gw1')
        with mock.patch('lab.cloud.api.Cloud', autospec=True) as cloud:
            self.assertEqual(0, args.func(args))
        getattr(cloud.return_value, action).assert_called_once_with('gw1')

    @ddt.data(((), 'all'), (('--ceph',), 'ceph'), (('--clients',), 'clients'))
    @ddt.unpack
    def test_cut(self, argv: tuple[str, ...], where: str) -> None:
        args = self.parse('cut', 'gw1', *argv)
        with mock.patch('lab.cloud.api.Cloud', autospec=True) as cloud:
            args.func(args)
        cloud.return_value.cut.assert_called_once_with('gw1', where)

    def test_what_is_no_node_is_refused(self) -> None:
        with contextlib.redirect_stderr(io.StringIO()) as err, \
                self.assertRaises(SystemExit):
            self.parse('kill', 'other')
        self.assertIn("'gw8'", err.getvalue())

    @ddt.data({'gateways': 1}, {'native': 'always'}, {'images': 'rbd'})
    def test_what_needs_ceph(self, options: dict[str, object]) -> None:
        for store in ('reflink', 'lvmthin'):
            with self.assertRaisesRegex(
                    errors.CloudError, 'needs --store rbd'):
                prerequisites.check_fit(
                    settings.Options(store=store, **options))
        prerequisites.check_fit(settings.Options(store='rbd', **options))

    def test_native_threads_need_a_cinder_that_has_them(self) -> None:
        native = settings.Options(cinder_mode='native')
        with tempfile.TemporaryDirectory() as folder:
            with self.assertRaisesRegex(errors.CloudError, 'Cinder 29'):
                prerequisites.check_fit(native, Path(folder))
            prerequisites.check_fit(settings.Options(), Path(folder))
        prerequisites.check_fit(native)

    @ddt.data('up', 'down', 'status', 'openrc')
    def test_every_command_says_that_it_takes_root(self, name: str) -> None:
        args = self.parse(name)
        with mock.patch('os.geteuid', return_value=1000), \
                self.assertRaisesRegex(errors.CloudError, 'as root'):
            args.func(args)

    def test_logs(self) -> None:
        self.layout.logs.mkdir(parents=True)
        self.layout.log('keystone').write_text('one\ntwo\nthree\n')
        with contextlib.redirect_stdout(io.StringIO()) as out:
            self.assertEqual(0, logs.show(self.layout, 'keystone', 2, False))
        self.assertEqual('two\nthree\n', out.getvalue())
        with contextlib.redirect_stdout(io.StringIO()) as out:
            logs.show(self.layout, None, 2, False)
        self.assertIn('keystone', out.getvalue())

    def test_no_such_log(self) -> None:
        with self.assertRaisesRegex(Exception, 'has no log'):
            logs.show(self.layout, 'nope', 2, False)


class PrerequisitesTest(FolderTestCase):

    def test_missing_program_names_its_package(self) -> None:
        self.assertEqual(
            ['such-package'], prerequisites.missing_packages(
                {'no-such-program-here': 'such-package', 'sh': 'dash'}))

    def test_missing_program_of_the_environment(self) -> None:
        (self.folder / 'bin').mkdir()
        (self.folder / 'bin' / 'uwsgi').touch()
        self.assertEqual(['nova-compute'], prerequisites.missing_programs(
            self.folder, ('uwsgi', 'nova-compute')))

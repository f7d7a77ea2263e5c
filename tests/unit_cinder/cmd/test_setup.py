# SPDX-License-Identifier: Apache-2.0
"""``mydriver setup``, on a root filesystem in a temporary directory."""

import configparser
from importlib import metadata
import io
import json
import os
from pathlib import Path
import subprocess
import sys
import textwrap
from unittest import mock

from oslo_config import cfg

from mydriver.cmd import backends, main
from mydriver.hostfiles import (
    activation,
    catalogue,
    choices,
    manifest,
    privsep,
)
from mydriver.hostfiles import root as roots
from tests.fakes import hostroot

BINDIR = ('--bindir', '/opt/venv/bin')
UNIT = f'{catalogue.UNITS}/{catalogue.RESTORE}'
MODULES = '/etc/modules-load.d/mydriver-storage.conf'
RECORD = f'{manifest.FOLDER}/storage.json'
NOTHING = 'Nothing to do: all files are up to date.\n'
UP_TO_DATE = 'All files are up to date.\n'


class SetupTestCase(hostroot.RootTestCase):
    """A test that calls the command."""

    def call(self, *argv, kind='storage'):
        """Run it; return the exit status, its output and its errors."""
        out, err = io.StringIO(), io.StringIO()
        status = main.main(['setup', kind, '--root', str(self.folder), *argv],
                           stdout=out, stderr=err)
        return status, out.getvalue(), err.getvalue()


class SetupTest(SetupTestCase):
    """What is printed, and the exit status."""

    def test_by_default_it_shows_and_changes_nothing(self):
        before = self.tree()
        status, out, _ = self.call(*BINDIR)
        self.assertEqual(1, status)
        self.assertIn(f'+++ {UNIT}\n', out)
        self.assertIn('+ExecStart=/opt/venv/bin/mydriver restore', out)
        self.assertEqual(before, self.tree())

    def test_print(self):
        before = self.tree()
        status, out, _ = self.call('--print', *BINDIR)
        self.assertEqual(0, status)
        for file in catalogue.files(choices.choose(
                'storage', {'bindir': BINDIR[1]})):
            self.assertIn(f'==> {file.path} (mode {file.mode:04o})\n'
                          + file.content.decode(), out)
        self.assertEqual(before, self.tree())

    def test_install_twice_and_remove(self):
        before = self.tree()
        status, out, _ = self.call('--install', *BINDIR)
        self.assertEqual(0, status)
        self.assertIn(f'create: {UNIT}\n', out)
        self.assertIn('To do:\n', out)
        self.assertIn(f'* systemctl --root={self.root.path} enable', out)
        after = self.tree()
        remaining = out[out.index('Remaining commands'):]
        # Nothing has run them, so they are listed each time.
        self.assertEqual((0, UP_TO_DATE + remaining, ''),
                         self.call('--install'))
        self.assertEqual((0, UP_TO_DATE + remaining.partition('To do:')[0],
                          ''), self.call())
        self.assertEqual(after, self.tree())
        status, out, _ = self.call('--remove')
        self.assertEqual(0, status)
        self.assertIn(f'removed: {UNIT}\n', out)
        self.assertEqual(before, self.tree())
        self.assertEqual((0, 'Nothing to do: nothing was installed.\n', ''),
                         self.call('--remove'))

    def test_options_are_remembered(self):
        self.call('--install', *BINDIR, '--store', 'lvmthin', '--user',
                  'stack', '--config-file', '/etc/a.conf')
        status, out, _ = self.call()
        self.assertEqual(0, status)
        self.assertIn(UP_TO_DATE, out)
        status, out, _ = self.call('--user', 'cinder')
        self.assertEqual(1, status)
        self.assertIn('-stack ALL=', out)
        self.assertIn('+cinder ALL=', out)
        self.assertNotIn('-dm_thin_pool', out)
        # What is only shown is not remembered.
        status, out, _ = self.call()
        self.assertEqual(0, status)
        self.assertIn(UP_TO_DATE, out)

    def test_the_path_of_stores_goes_with_their_kind(self):
        self.call('--install', *BINDIR, '--store-path', '/srv/a')
        status, out, err = self.call('--install', '--store', 'lvmthin')
        self.assertEqual((0, ''), (status, err), out)
        self.assertNotIn('/srv/a', self.get(UNIT))
        status, _, err = self.call('--store-path', '/srv/a')
        self.assertEqual(2, status)
        self.assertIn('Add --store reflink', err)

    def stores(self):
        """Return the recorded stores."""
        return manifest.load(self.root, 'storage').options['store']

    def test_a_gateway_beside_a_store_that_was_not_named(self):
        self.call('--install', *BINDIR)
        status, out, err = self.call('--install', '--gateway')
        self.assertEqual((0, ''), (status, err))
        self.assertNotIn('remove:', out)
        self.assertTrue(self.is_there(UNIT))
        self.assertIn('target_core_file\nrbd\n', self.get(MODULES))
        self.assertIn('[files]', self.get('/etc/mydriver/cinder.conf.sample'))
        self.assertEqual(['reflink', 'rbd'], self.stores())
        status, out, err = self.call()
        self.assertEqual((0, ''), (status, err))
        self.assertIn('All files are up to date.', out)
        # What is named replaces them.
        self.call('--install', '--store', 'rbd')
        self.assertFalse(self.is_there(UNIT))

    def test_a_gateway_that_is_none_any_more(self):
        self.call('--install', '--gateway', *BINDIR)
        self.call('--install', '--no-gateway')
        self.assertEqual(['rbd'], self.stores())
        self.assertNotIn('target_core_file', self.get(MODULES))

    def test_a_record_that_does_not_name_the_default_store(self):
        for first, then in (((), '--gateway'), (('--gateway',),
                                                '--no-gateway')):
            self.call('--install', *BINDIR, *first)
            before = self.stores()
            record = json.loads(self.get(RECORD))
            del record['options']['store']
            self.put(RECORD, json.dumps(record))
            self.call('--install', then)
            self.assertEqual(before, [
                s for s in self.stores() if s in before])
            self.assertEqual('reflink' in before, 'target_core_file' in
                             self.get(MODULES))
            self.call('--remove')

    def test_a_compute_host_has_no_stores(self):
        self.call('--install', *BINDIR, kind='compute')
        self.assertNotIn('store', manifest.load(self.root, 'compute').options)

    def test_a_file_that_somebody_changed(self):
        self.call('--install', *BINDIR)
        self.put(UNIT, 'mine\n')
        status, out, _ = self.call()
        self.assertEqual(1, status)
        self.assertIn(f'{UNIT}: changed by somebody\n', out)
        self.assertIn('-mine\n', out)
        for _ in range(2):
            status, out, _ = self.call('--install')
            self.assertEqual(1, status)
            self.assertIn(f'kept: {UNIT}', out)
        status, out, _ = self.call('--remove')
        self.assertEqual(1, status)
        self.assertIn(f'kept: changed by somebody: {UNIT}\n', out)
        self.assertEqual('mine\n', self.get(UNIT))

    def test_a_changed_file_that_is_not_needed(self):
        dropin = f'{UNIT}.d/lvmthin.conf'
        self.call('--install', *BINDIR, '--store', 'lvmthin')
        self.put(dropin, 'mine\n')
        status, out, _ = self.call('--install', '--store', 'reflink')
        self.assertEqual(1, status)
        self.assertIn(f'kept: {dropin}', out)
        status, out, _ = self.call('--install', '--force')
        self.assertEqual(0, status)
        self.assertIn(f'remove: {dropin}\n', out)
        copy = out.partition('kept: copy of an earlier file: ')[2].split()[0]
        self.assertEqual('mine\n', self.get(copy))
        self.assertEqual(0, self.call('--install', '--force')[0])
        status, out, _ = self.call('--remove')
        self.assertEqual(0, status)
        self.assertIn(f'kept: copy of an earlier file: {copy}\n', out)

    def test_a_file_of_others(self):
        self.put(UNIT, 'theirs')
        before = self.tree()
        status, out, err = self.call('--install', *BINDIR)
        self.assertEqual((2, ''), (status, out))
        self.assertIn(f'{self.root.path}{UNIT}', err)
        self.assertIn('--force', err)
        self.assertEqual(before, self.tree())
        self.assertEqual(0, self.call('--install', '--force', *BINDIR)[0])
        status, out, _ = self.call('--remove')
        self.assertIn(f'restored: {UNIT}\n', out)
        self.assertEqual(before, self.tree())

    def test_compute(self):
        before = self.tree()
        self.assertEqual(0, self.call('--install', *BINDIR,
                                      kind='compute')[0])
        self.assertIn('nova ALL=', self.get('/etc/sudoers.d/mydriver-compute'))
        # There is no command for another root.
        for action in ((), ('--install',)):
            self.assertEqual((0, NOTHING, ''),
                             self.call(*action, kind='compute'))
        self.assertEqual(0, self.call('--remove', kind='compute')[0])
        self.assertEqual(before, self.tree())

    def test_hostile_values(self):
        before = self.tree()
        for option, value in (
                ('--user', 'cinder ALL=(ALL) NOPASSWD: ALL\n#'),
                ('--bindir', '/opt/a b'), ('--helper', '/opt/a,/bin/sh'),
                ('--config-file', '/etc/a.conf\nroot ALL'),
                ('--store-path', '/srv/%h'), ('--state-path', '/var/../x')):
            status, out, err = self.call('--install', option, value)
            self.assertEqual((2, ''), (status, out))
            self.assertIn(option, err)
        self.assertEqual(before, self.tree())

    def test_visudo_refuses(self):
        before = self.tree()
        with mock.patch.object(privsep, 'rule', return_value='a b c'):
            status, out, err = self.call('--install', *BINDIR)
        self.assertEqual((2, ''), (status, out))
        self.assertIn('visudo refuses the file', err)
        self.assertEqual(before, self.tree())

    def test_only_root_changes_the_host(self):
        with mock.patch.object(os, 'geteuid', return_value=1000), \
                mock.patch.object(roots.Root, 'write') as write:
            for action in ('--install', '--remove'):
                err = io.StringIO()
                self.assertEqual(2, main.main(
                    ['setup', 'compute', action], stderr=err))
                self.assertIn('only root', err.getvalue())
        write.assert_not_called()

    def test_a_root_that_is_not_there(self):
        self.folder = Path(self.folder, 'none')
        try:
            status, _, err = self.call()
        finally:
            self.folder = self.folder.parent
        self.assertEqual(2, status)
        self.assertIn('is not a directory', err)

    def test_an_empty_root_is_not_the_working_directory(self):
        err = io.StringIO()
        self.assertEqual(2, main.main(
            ['setup', 'storage', '--root', '', '--install'], stderr=err))
        self.assertIn("'' is not a directory", err.getvalue())


class LiveTest(SetupTestCase):
    """A host on which systemd runs."""

    def setUp(self):
        super().setUp()
        self.ran, self.failing, self.state = [], (), 'inactive'
        self.enterContext(mock.patch.object(
            roots.Root, 'is_host', new_callable=mock.PropertyMock,
            return_value=True))
        self.enterContext(mock.patch.object(
            activation, 'is_live', return_value=True))
        self.enterContext(mock.patch.object(os, 'geteuid', return_value=0))
        self.enterContext(mock.patch.object(os, 'fchown'))
        self.enterContext(mock.patch.object(
            subprocess, 'run', side_effect=self.run_one))

    def run_one(self, command, **_options):
        """Note a command, and do as if it had been run."""
        self.ran.append(' '.join(map(str, command)))
        failed = any(f in self.ran[-1] for f in self.failing)
        return subprocess.CompletedProcess(
            command, int(failed), self.state,
            'no such module' if failed else '')

    def commands(self):
        """Return the commands so far, without checks, and forget them."""
        found = [c for c in self.ran if 'visudo' not in c]
        self.ran.clear()
        return found

    def test_units_are_enabled_and_modules_are_loaded(self):
        self.assertEqual(0, self.call('--install', *BINDIR)[0])
        self.assertEqual([
            'modprobe -a target_core_mod iscsi_target_mod target_core_file',
            'systemctl daemon-reload', f'systemctl enable {catalogue.RESTORE}',
        ], self.commands())
        self.assertEqual((0, NOTHING, ''), self.call('--install'))
        self.assertEqual([], self.commands())
        self.assertEqual(0, self.call('--remove')[0])
        self.assertEqual(['systemctl daemon-reload'], self.commands())

    def test_what_failed_is_tried_again(self):
        self.failing = ('modprobe',)
        status, out, _ = self.call('--install', *BINDIR)
        self.assertEqual(1, status)
        self.assertIn('failed: modprobe -a target_core_mod iscsi_target_mod '
                      'target_core_file: no such module\n', out)
        self.failing = ()
        self.commands()
        status, out, _ = self.call()
        self.assertEqual(1, status)
        self.assertIn('Commands for --install:\n* modprobe -a', out)
        self.assertEqual([], self.commands())
        self.assertEqual(0, self.call('--install')[0])
        self.assertIn('modprobe', self.commands()[0])
        self.assertEqual((0, NOTHING, ''), self.call('--install'))

    def test_a_running_gateway_is_not_pulled_away(self):
        self.call('--install', '--gateway', *BINDIR)
        before = self.tree()
        self.state = 'active'
        status, _, err = self.call('--remove')
        self.assertEqual(2, status)
        self.assertIn('mydriver gateway drain', err)
        self.assertEqual(before, self.tree())
        for argv in (('--no-gateway', '--store', 'reflink'),
                     ('--no-gateway',)):
            status, _, err = self.call('--install', *argv)
            self.assertEqual(2, status)
            self.assertIn('--no-gateway: mydriver-gateway.service is running',
                          ' '.join(err.split()))
            self.assertEqual(before, self.tree())
        self.assertEqual(0, self.call('--install', '--user', 'other')[0])
        self.state = 'inactive'
        self.assertEqual(0, self.call('--install', '--no-gateway', '--store',
                                      'reflink')[0])
        self.assertEqual(0, self.call('--remove')[0])


class SampleTest(SetupTestCase):
    """The samples are what their readers accept."""

    def setUp(self):
        super().setUp()
        self.addCleanup(cfg.CONF.clear)

    def sample(self, *argv, kind='storage'):
        """Install, and return the path of the sample."""
        self.assertEqual(0, self.call('--install', *BINDIR, *argv,
                                      kind=kind)[0])
        path, = (self.folder / 'etc/mydriver').iterdir()
        return path

    def test_cinder_conf(self):
        path = self.sample('--store', 'reflink', '--store', 'lvmthin',
                           '--store', 'rbd')
        found = backends.read([str(path)])
        self.assertEqual(['files', 'thin', 'ceph'], [b.name for b in found])
        for backend in found:
            self.assertTrue(backend.settings.chap)
            self.assertFalse(backend.has_gateways)
        self.assertEqual('/srv/mydriver/files', found[0].section.safe_get(
            'mydriver_store_path'))

    def test_cinder_conf_of_a_gateway(self):
        found, = backends.read([str(self.sample('--gateway'))])
        self.assertTrue(found.has_gateways)

    def test_nova_conf(self):
        parser = configparser.ConfigParser(interpolation=None)
        parser.read(self.sample(kind='compute'))
        self.assertEqual('mydriver.LibvirtDriver',
                         parser['DEFAULT']['compute_driver'])
        self.assertEqual('sudo /opt/venv/bin/privsep-helper --config-file '
                         '/etc/nova/nova.conf', parser[privsep.section(
                             'compute')]['helper_command'])


#: What a compute host without cinder may lack. Up to 3.10 (OpenStack 2026.1)
#: oslo.privsep requires eventlet.
ABSENT = ['rtslib_fb', 'cinder', 'nova', *(
    [] if any(r.startswith('eventlet') and 'extra' not in r
              for r in metadata.requires('oslo.privsep')) else ['eventlet'])]


class LoadTest(hostroot.RootTestCase):
    """A compute host, which lacks what storage hosts need."""

    def run_without(self, *argv):
        """Run the command where rtslib is not installed."""
        code = textwrap.dedent(f"""
            import sys
            class Without:
                def find_spec(self, name, path=None, target=None):
                    if name.partition('.')[0] in {ABSENT}:
                        raise ModuleNotFoundError(
                            f"No module named '{{name}}'", name=name)
            sys.meta_path.insert(0, Without())
            from mydriver.cmd import main
            sys.exit(main.main(sys.argv[1:]))
            """)
        return subprocess.run(
            [sys.executable, '-W', 'ignore', '-c', code, *argv], check=False,
            capture_output=True, text=True,
            cwd=Path(__file__).resolve().parents[3])

    def test_setup(self):
        done = self.run_without('setup', 'compute', '--root',
                                str(self.folder), '--print', *BINDIR)
        self.assertEqual((0, ''), (done.returncode, done.stderr))

    def test_a_command_of_storage_hosts(self):
        done = self.run_without('restore')
        self.assertEqual(2, done.returncode)
        self.assertIn("mydriver restore: No module named 'rtslib_fb'. This "
                      'command is for storage hosts.', done.stderr)
        self.assertNotIn('Traceback', done.stderr)

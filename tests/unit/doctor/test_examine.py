# SPDX-License-Identifier: Apache-2.0
"""Checks that fail or hang, exit statuses, and which kind a host is."""

from pathlib import Path
import subprocess
import threading
import unittest
from unittest import mock

import ddt
from oslo_config import cfg

from mydriver import exception, releases
from mydriver.doctor import examine, findings, host, kinds, registry
from mydriver.doctor.findings import Severity
from tests.fakes import doctor

HOST = host.Host('storage', 'cinder')


def check(look, name='one', timeout_s=60.0):
    """Return a check for both kinds of host."""
    return findings.Check(name, findings.BOTH, 'All is well', 'It matters.',
                          look, timeout_s)


@ddt.ddt
class ExamineTest(unittest.TestCase):
    """examine.examine."""

    def test_a_crash_does_not_stop_the_others(self):
        def crash(_host):
            raise ZeroDivisionError('x' * 5000)
            yield

        first, second = examine.examine(
            HOST, [check(crash), check(lambda h: [], 'two')])
        self.assertEqual(Severity.UNKNOWN, first.severity)
        self.assertIn('ZeroDivisionError: xxx', first.found.what)
        self.assertLess(len(first.found.what), 400)
        self.assertEqual((Severity.OK, 'All is well.'),
                         (second.severity, second.found.what))

    def test_a_check_that_hangs(self):
        ends = threading.Event()
        self.addCleanup(ends.set)
        found = examine.examine(
            HOST, [check(lambda h: ends.wait() and [], timeout_s=0.1),
                   check(lambda h: [], 'two')])
        self.assertEqual([Severity.UNKNOWN, Severity.OK],
                         [f.severity for f in found])
        self.assertIn('did not end', found[0].found.what)

    @ddt.data(
        (exception.ConfigurationError('opt', 'is bad', 'Mend it.'), 'error',
         'opt: is bad. Mend it.', '${EDITOR:-vi}'),
        (exception.ConfigurationError('opt', 'is bad', 'Run modprobe x, or '
                                      'else mount it.'), 'error',
         'opt: is bad.', 'modprobe x'),
        (exception.TargetError('do it', 'no'), 'error', '',
         'mydriver doctor storage --all'),
        (PermissionError(13, 'Permission denied', '/x'), 'unknown',
         '/x: Permission denied.', 'sudo mydriver doctor storage'),
        (subprocess.TimeoutExpired(['/bin/lvs'], 5), 'unknown',
         'lvs did not end within 5 s.', ''))
    @ddt.unpack
    def test_errors(self, error, severity, what, remedy):
        found, = examine.examine(HOST, [check(mock.Mock(side_effect=error))])
        self.assertEqual(severity, found.severity)
        self.assertIn(what, found.found.what)
        self.assertIn(remedy, found.found.remedy)

    def test_a_fix_that_fails_does_not_stop_the_others(self):
        found = examine.examine(HOST, [
            check(lambda h, f=fix: [findings.error('bad', 'do', f)])
            for fix in (mock.Mock(side_effect=OSError('full')),
                        lambda: 'did it')])
        self.assertEqual(['one: failed: full', 'one: did it'],
                         list(examine.fix(found)))

    @ddt.data(([], 0), (['ok', 'info'], 0), (['ok', 'unknown'], 3),
              (['unknown', 'warning'], 1), (['warning', 'error', 'ok'], 2))
    @ddt.unpack
    def test_exit_status(self, severities, status):
        found = [findings.Finding(check(None), 'storage', findings.Found(
            Severity(s), '')) for s in severities]
        self.assertEqual(status, findings.exit_status(found))

    def test_ids_are_unique(self):
        ids = [c.id for c in registry.CHECKS]
        self.assertEqual(len(ids), len(set(ids)))


class KindsTest(doctor.DoctorTestCase):
    """mydriver.doctor.kinds."""

    def detect(self, *installed):
        """Return the kinds with these projects installed."""
        with mock.patch.object(releases, 'version_of', lambda p: (
                '1' if p in installed else None)):
            return kinds.detect(self.folder)

    def test_nothing(self):
        self.assertEqual([], self.detect('cinder', 'nova'))

    def test_what_is_installed_and_configured(self):
        self.configure('/etc/nova/nova.conf', '')
        self.assertEqual([], self.detect('cinder'))
        self.assertEqual(['compute'], self.detect('nova', 'cinder'))

    def test_what_setup_was_run_for(self):
        self.storage()
        self.compute()
        self.assertEqual(['storage', 'compute'], self.detect())

    def test_options_of_setup(self):
        self.install(user='me', config_file=['/etc/c.conf'],
                     store=['lvmthin'])
        host_ = kinds.describe(self.folder, 'storage')
        self.assertEqual(('me', ('/etc/c.conf',), ('lvmthin',)),
                         (host_.user, host_.files, host_.stores))
        self.assertEqual(('/other',), kinds.describe(
            self.folder, 'storage', ['/other']).files)

    def test_stores_of_the_configuration(self):
        self.configure('/etc/cinder/cinder.conf', """
            [DEFAULT]
            enabled_backends = a, b
            [backend_defaults]
            mydriver_store = lvmthin
            [a]
            mydriver_store = rbd
            """)
        self.assertEqual(('lvmthin', 'rbd'),
                         kinds.describe(self.folder, 'storage').stores)
        self.install(store=['reflink'])
        self.assertEqual(('reflink', 'lvmthin', 'rbd'),
                         kinds.describe(self.folder, 'storage').stores)

    def test_directories_that_are_read_whatever_files_are_named(self):
        """oslo.config reads them unless there is a --config-dir."""
        self.configure('/etc/cinder/cinder.conf', '')
        self.assertEqual([f'{self.folder}/etc/cinder/cinder.conf'],
                         kinds.describe(self.folder, 'storage').config())
        for path in ('/etc/cinder/cinder.conf.d/a.conf',
                     '/etc/cinder-volume.conf.d/b.conf', '/x/y.conf',
                     '/etc/cinder/other.conf'):
            self.configure(path, f'[DEFAULT]\nhost = {path}\n')
        more = [f'{self.folder}/etc/cinder/cinder.conf.d/a.conf',
                f'{self.folder}/etc/cinder-volume.conf.d/b.conf']
        host_ = kinds.describe(self.folder, 'storage')
        self.assertEqual([f'{self.folder}/etc/cinder/cinder.conf', *more],
                         host_.config())
        self.assertEqual(more[1][len(str(self.folder)):],
                         host_.setting('DEFAULT', 'host'))
        other = '/etc/cinder/other.conf'
        host_ = kinds.describe(self.folder, 'storage', [other])
        self.assertEqual([*more, f'{self.folder}{other}'], host_.config())
        self.assertEqual(other, host_.setting('DEFAULT', 'host'))
        host_ = kinds.describe(self.folder, 'storage', [other], ['/x'])
        self.assertEqual([f'{self.folder}{other}', f'{self.folder}/x/y.conf'],
                         host_.config())

    def test_where_oslo_config_looks_on_this_host(self):
        with mock.patch.object(kinds.cfg, 'find_config_dirs',
                               return_value=['/d']) as find:
            self.assertEqual(('/d',), kinds.describe(
                Path('/'), 'compute', ['/x']).defaults)
            self.assertEqual((), kinds.describe(
                Path('/'), 'compute', ['/x'], ['/e']).defaults)
        find.assert_called_once_with('nova', 'nova-compute')

    def test_the_order_is_that_of_oslo_config(self):
        """The files that are named come last, so their values count."""
        for path, value in (('x.conf', 'file'), ('d/y.conf', 'directory')):
            self.put(f'/{path}', f'[DEFAULT]\nhost = {value}\n')
        for arguments, found in (
                ([f'--config-file={self.folder}/x.conf'], 'file'), (
                    [], 'directory')):
            conf = cfg.ConfigOpts()
            conf.register_opt(cfg.StrOpt('host'))
            conf(arguments,
                 default_config_files=[f'{self.folder}/x.conf'],
                 default_config_dirs=[f'{self.folder}/d'])
            self.assertEqual(found, conf.host)


class RunTest(unittest.TestCase):
    """mydriver.doctor.host.run."""

    def test_what_is_not_installed(self):
        self.assertIsNone(host.run(['no-such-program-of-ours']))

    def test_it_cannot_ask_on_the_terminal(self):
        answer = host.run(['/bin/sh', '-c', ('read x; echo got:$x; '
                           '(: < /dev/tty) 2>/dev/null || echo no tty')])
        self.assertEqual('got:\nno tty\n', answer.out)

    def test_too_slow(self):
        with self.assertRaises(subprocess.TimeoutExpired):
            host.run(['/bin/sleep', '600'], 0.1)

    def test_modules_are_of_this_package(self):
        answer = host.run_module('mydriver.doctor.host', [], 60)
        self.assertEqual((0, ''), (answer.status, answer.out))
        self.assertTrue(Path(host._PLACE, 'mydriver/doctor').is_dir())

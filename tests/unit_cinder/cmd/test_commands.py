# SPDX-License-Identifier: Apache-2.0
"""The commands, with a journal on disk and a target in memory."""

import dataclasses
import errno
import importlib
import io
import json
import logging
import os
from pathlib import Path
import sys
import tempfile
import unittest
from unittest import mock
import uuid

from oslo_privsep import daemon

from mydriver import exception, model
from mydriver.backend import settings
from mydriver.cmd import health, identity, main, show
from mydriver.stores.lvmthin import store as lvmthin
from mydriver.stores.reflink import extents, probe
from mydriver.target import configfs, factory, lio
from mydriver.target.journal import errors, file
from tests.fakes import commands, thinpool
from tests.fakes.commands import FIRST, HOST, NOBODY, SECOND, TARGET

#: Those that read the journal on this host.
OF_THE_HOST = ('restore', 'show', 'status')


#: The logger that starts privileged daemons.
PRIVSEP = daemon.LOG.name


class ShowTest(commands.CommandTestCase):
    """``mydriver show``."""

    def test_exports_and_mappings(self):
        self.fill()
        status, out, _ = self.run_command('show', '-f', 'json')
        self.assertEqual(0, status)
        self.assertEqual([
            {'Backend': 'disks', 'Volume': FIRST,
             'WWN': '0x60014050000000000000000000000000',
             'Target': str(TARGET), 'Initiator': str(HOST), 'LUN': 1,
             'Read only': False, 'Size (GiB)': 1.0,
             'Device': f'{self.folder}/store/volume-{FIRST}'},
            {'Backend': 'disks', 'Volume': SECOND,
             'WWN': '0x60014050000000000000000000000000',
             'Target': str(TARGET), 'Initiator': '', 'LUN': '',
             'Read only': '', 'Size (GiB)': 1.0,
             'Device': f'{self.folder}/store/volume-{SECOND}'},
        ], json.loads(out))

    def test_no_journal_is_no_export_and_is_not_made(self):
        status, out, _ = self.run_command('show', '-f', 'csv', '--quote',
                                          'none')
        self.assertEqual((0, ','.join(show.COLUMNS)), (status, out.strip()))
        self.assertFalse(os.path.exists(self.backend.journal_path))

    def test_a_wrong_backend_is_an_error(self):
        status, out, err = self.run_command('show', 'lvm')
        self.assertEqual((1, ''), (status, out))
        self.assertIn('[lvm]: this is not an enabled mydriver backend', err)


class MissingExtraTest(commands.CommandTestCase):
    """A host without the extra ``storage``."""

    def test_commands_name_the_extra(self):
        for name, module in (('status', 'mydriver.cmd.status'),
                             ('export list', 'mydriver.cmd.exports'),
                             ('metrics', 'prometheus_client'),
                             ('metrics', 'mydriver.cmd.monitoring.backend')):
            parent, _, child = module.rpartition('.')
            package = (vars(importlib.import_module(parent)) if parent
                       else {})
            with (self.subTest(name, module=module),
                  mock.patch.dict(sys.modules, {module: None}),
                  mock.patch.dict(package)):
                package.pop(child, None)  # it was imported before
                status, out, err = self.run_command(*name.split())
                self.assertEqual(2, status)
                self.assertEqual('', out)
                self.assertIn(f'mydriver {name}: ', err)
                self.assertIn('Install mydriver[storage] there.', err)

    def test_metrics_of_a_compute_host_name_that_of_it(self):
        with mock.patch.dict(sys.modules, {'prometheus_client': None}):
            status, _, err = self.run_command('metrics', '--events-only')
        self.assertEqual(2, status)
        self.assertIn('Install mydriver[compute] on a compute host', err)

    def test_help_names_it_and_lists_what_can_be_used(self):
        out = io.StringIO()
        with mock.patch.dict(sys.modules, {'mydriver.cmd.status': None}), \
                self.assertRaises(SystemExit) as caught:
            main.main(['--help'], stdout=out)
        self.assertIsNone(caught.exception.code)
        self.assertIn('\nCould not load mydriver status: it needs '
                      'mydriver[storage]\n', out.getvalue())
        self.assertRegex(out.getvalue(), r'\n +trace +Follow')


class WrongUserTest(commands.CommandTestCase):
    """A user who cannot read the journal gets an error, not "no journal"."""

    def test_every_command_fails(self):
        self.fill()
        self.become_another_user()
        for name in OF_THE_HOST:
            with self.subTest(name):
                status, out, err = self.run_command(name, 'disks')
                self.assertEqual(1, status)
                self.assertIn(f'{self.backend.journal_path}: Permission '
                              f'denied (user id {NOBODY})',
                              ' '.join((out + err).replace('|', '').split()))
                self.assertNotIn('no journal yet', out + err)

    def test_a_journal_that_only_its_owner_reads(self):
        self.fill()
        self.become_another_user()
        os.setresuid(0, 0, 0)
        os.chmod(os.path.dirname(self.backend.journal_path), 0o755)
        os.setresuid(NOBODY, NOBODY, 0)
        status, _, err = self.run_command('show', 'disks')
        self.assertEqual(1, status)
        self.assertIn(f'user id {NOBODY} cannot read it', err)

    def test_one_backend_does_not_hide_the_others(self):
        self.fill()
        other = os.path.dirname(self.read()['plain'].journal_path)
        os.symlink('/etc', other)
        status, out, err = self.run_command('show')
        self.assertEqual(1, status)
        self.assertIn(FIRST, out)
        self.assertIn(other, err)


class LinkTest(commands.CommandTestCase):
    """Root does not follow a link in place of the state directory."""

    def test_every_command_refuses_it(self):
        before = self.replace_state()
        for name in OF_THE_HOST:
            with self.subTest(name):
                status, out, err = self.run_command(name, 'disks')
                self.assertEqual(1, status)
                self.assertIn('is a link to', out + err)
                self.assertNotIn(FIRST, out)
        self.assertEqual(before, sorted(os.listdir(
            os.path.join(self.folder, 'elsewhere'))))

    def test_root_stays_root_for_it(self):
        self.replace_state()
        identity.become_owner([os.path.dirname(self.backend.journal_path)])
        self.assertEqual(0, os.geteuid())

    def test_root_does_not_open_another_users(self):
        self.fill()
        os.chown(os.path.dirname(self.backend.journal_path), NOBODY, NOBODY)
        with self.assertRaises(exception.ConfigurationError) as caught:
            self.backend.has_journal()
        self.assertIn(f'belongs to user id {NOBODY}', str(caught.exception))

    def test_a_journal_that_is_no_file(self):
        self.fill()
        path = self.backend.journal_path
        os.rename(path, f'{path}.away')
        os.symlink(f'{path}.away', path)
        with self.assertRaisesRegex(exception.ConfigurationError,
                                    'not a regular file'):
            self.backend.has_journal()


class HealthTest(commands.CommandTestCase):
    """The findings of ``mydriver status``."""

    def exports(self):
        """Return part, ok and detail of each finding on the exports."""
        return [(f.part, f.ok, f.detail) for f in health.check_exports(
            self.backend, self.target.observe)]

    def test_no_journal_yet(self):
        path = self.backend.journal_path
        self.assertEqual(
            [('exports', True, f'there is no journal yet at {path}')],
            self.exports())

    def test_checks_create_no_files(self):
        self.fill()
        before = set(os.listdir(os.path.dirname(self.backend.journal_path)))
        self.exports()
        list(show.rows(self.backend))
        self.assertEqual(before, set(os.listdir(os.path.dirname(
            self.backend.journal_path))))

    def test_all_is_there(self):
        self.fill()
        self.assertEqual([('targets', True, '1, all in the kernel'),
                          ('exports', True, '2, all in the kernel'),
                          ('mappings', True, '1, all in the kernel')],
                         self.exports())

    def test_a_lost_mapping(self):
        placed = self.fill()
        self.target.drop_mapping(placed)
        self.assertEqual(
            [True, True, False], [ok for _, ok, _ in self.exports()])
        self.assertIn('1 of 1 missing in the kernel. Run mydriver restore.',
                      self.exports()[2])

    def test_a_mapping_of_another_mode(self):
        placed = self.fill()
        self.target.ensure_mapping(dataclasses.replace(
            placed, mapping=dataclasses.replace(
                placed.mapping, read_only=True)))
        self.assertEqual(
            [True, True, False], [ok for _, ok, _ in self.exports()])

    def test_all_is_lost(self):
        self.fill()
        self.target.targets.clear()
        self.assertEqual(
            [False] * 3, [ok for _, ok, _ in self.exports()])

    def test_more_in_the_kernel_is_fine(self):
        placed = self.fill()
        self.target.ensure_mapping(model.MappedExport(
            model.Mapping(SECOND, model.Iqn('iqn.2026-11.org.example:x'), 7),
            placed.export))
        self.assertEqual([True] * 3, [ok for _, ok, _ in self.exports()])

    def test_a_broken_journal(self):
        with open(self.backend.journal_path, 'w') as f:
            f.write('this is no database, and long enough to see it' * 99)
        (part, ok, detail), = self.exports()
        self.assertEqual(('exports', False), (part, ok))
        self.assertIn(self.backend.journal_path, detail)

    def test_a_missing_store_and_a_host_that_cannot_serve(self):
        store, host = health.check_host(self.backend)
        self.assertEqual(('store', False), (store.part, store.ok))
        self.assertIn(f'{self.folder}/store does not exist', store.detail)
        # 192.0.2.1 is never assigned (RFC 5737).
        self.assertEqual(('host', False), (host.part, host.ok))

    def test_a_store_that_cinder_volume_makes_when_it_starts(self):
        store = lvmthin.LvmThinStore(
            'vg', thinpool.FakePool(self.folder))
        with mock.patch.object(settings, 'store_of', return_value=store):
            found, _host = health.check_host(self.backend)
        self.assertEqual(health.Finding(
            'store', True, 'there is no thin pool vg/mydriver yet, '
            'cinder-volume creates it when it starts'), found)

    def test_volumes_with_the_most_extents(self):
        os.mkdir(os.path.join(self.folder, 'store'))
        for _ in range(5):
            with open(f'{self.folder}/store/volume-{uuid.uuid4()}', 'wb'):
                pass
        with mock.patch.object(probe, 'check'), mock.patch.object(
                extents, 'count', side_effect=(7, 31000, 0, 5, 6)):
            store, found, _host = health.check_host(self.backend)
        self.assertIs(True, store.ok)
        self.assertEqual(('extents', True, True),
                         (found.part, found.ok, found.warning))
        self.assertRegex(found.detail, 'limit is 30000 extents.* 31000, '
                         'volume-.* 7, volume-.* 6')
        self.assertNotIn(' 5', found.detail)


class DatabaseTest(unittest.TestCase):
    """Whether the kernel can store persistent reservations."""

    def check(self, folder):
        """Check a directory of the kernel target."""
        with mock.patch.object(configfs, 'database', return_value=folder):
            health._check_database()

    def test_it_is_there(self):
        with tempfile.TemporaryDirectory() as folder:
            os.mkdir(f'{folder}/pr')
            self.check(folder)

    def test_it_is_missing(self):
        with (tempfile.TemporaryDirectory() as folder,
              self.assertRaisesRegex(exception.ConfigurationError,
                                     'pr does not exist.*mydriver restore')):
            self.check(folder)

    def test_this_user_may_not_see_it(self):
        """That is no proof that it is missing."""
        with (mock.patch.object(configfs.os, 'stat', side_effect=(
                PermissionError(errno.EACCES, 'Permission denied'))),
              self.assertRaisesRegex(exception.TargetError,
                                     'show /etc/target/pr.*Permission')):
            self.check('/etc/target')

    def test_the_kernel_does_not_say_where(self):
        with (mock.patch.object(configfs, 'exists', return_value=True),
              self.assertRaisesRegex(exception.ConfigurationError,
                                     'does not say where')):
            self.check('')
        with (mock.patch.object(configfs.os.path, 'ismount',
                                return_value=False),
              mock.patch.object(configfs, 'ROOT', Path('/nowhere/config')),
              self.assertRaisesRegex(exception.TargetError,
                                     'configfs is not mounted')):
            self.check('')


class StatusTest(commands.CommandTestCase):
    """``mydriver status``."""

    def status(self, *, is_mounted):
        """Return the rows on a host with or without configfs, by part."""
        with mock.patch.object(os.path, 'ismount', return_value=is_mounted):
            status, out, _ = self.run_command('status', 'disks', '-f', 'json')
        self.assertEqual(1, status)
        rows = {row['Part']: row for row in json.loads(out)}
        self.assertEqual({'wrong'}, {r['State'] for r in rows.values()})
        return rows

    def test_without_configfs_nothing_is_missing(self):
        """The kernel may have all of it; nobody can tell."""
        self.fill()
        rows = self.status(is_mounted=False)
        self.assertEqual({'store', 'host', 'exports'}, set(rows))
        self.assertIn('configfs is not mounted', rows['exports']['Detail'])

    def test_a_problem_sets_the_exit_status(self):
        self.fill()
        rows = self.status(is_mounted=True)
        self.assertEqual({'store', 'host', 'targets', 'exports',
                          'mappings'}, set(rows))
        self.assertFalse(configfs.ROOT.joinpath(
            'iscsi', str(TARGET)).exists())

    def test_rivals_come_first_and_are_warnings(self):
        wants = Path(self.folder, 'etc/systemd/system/multi-user.target.wants')
        wants.mkdir(parents=True)
        for folder in (wants, wants.parent):
            (folder / 'target.service').write_text('[Service]')
        _, out, _ = self.run_command('status', 'disks', '-f', 'json')
        rows = json.loads(out)
        self.assertEqual(('rivals', 'warning'),
                         (rows[0]['Part'], rows[0]['State']))
        self.assertIn('target.service', rows[0]['Detail'])


class MessagesTest(commands.CommandTestCase):
    """What commands say beside their output."""

    def said(self, *messages, argv=('show',)):
        """Run a command that logs; return what it prints to standard error.

        :param messages: logger, level and text of each.
        """
        def log(_args):
            for name, level, text in messages:
                logging.getLogger(name).log(level, text)
            return iter(())

        with mock.patch('mydriver.cmd.arguments.open_backends', log):
            _status, _out, err = self.run_command(*argv)
        return err.splitlines()

    def test_a_host_without_a_default_route(self):
        """A command in a node without one meets the real message."""
        self.assertEqual(['a warning', 'of ours'], self.said(
            ('oslo_utils.netutils', logging.INFO, 'no interface'),
            ('oslo_utils.netutils', logging.WARNING, 'a warning'),
            ('mydriver', logging.INFO, 'of ours')))

    def test_a_privileged_daemon_that_starts(self):
        self.assertEqual(['of ours'], self.said(
            (PRIVSEP, logging.INFO, 'Running helper'),
            (PRIVSEP, logging.WARNING, 'privsep log: old'),
            ('mydriver.privileged', logging.WARNING, 'of ours')))

    def test_a_privileged_daemon_that_does_not_start(self):
        """What sudo says is read by another thread."""
        self.assertEqual(['early', 'failed', 'late'], self.said(
            (PRIVSEP, logging.WARNING, 'early'),
            (PRIVSEP, logging.CRITICAL, 'failed'),
            (PRIVSEP, logging.WARNING, 'late')))

    def test_all_messages_are_shown_with_verbose(self):
        self.assertIn('Running helper', self.said(
            (PRIVSEP, logging.INFO, 'Running helper'),
            argv=('-v', 'show')))


class RestoreTest(commands.CommandTestCase):
    """``mydriver restore``; functional tests check what it restores."""

    def test_a_backend_that_was_removed(self):
        self.fill()
        self.write(commands.CONF.replace('[disks]', '[fast]').replace(
            '= disks,lvm', '= fast,lvm'))
        for name in ('restore', 'status'):
            _status, _, err = self.run_command(name, 'plain')
            self.assertIn(f'{self.backend.journal_path} is the journal of '
                          '[disks], which is not an enabled mydriver', err)
            self.assertEqual(1, err.count('is the journal of'))

    def test_no_journal_yet_is_fine(self):
        status, _, _ = self.run_command('restore')
        self.assertEqual(0, status)
        self.assertFalse(os.path.exists(self.backend.journal_path))

    def test_a_host_that_cannot_serve_sets_the_exit_status(self):
        self.fill()
        status, _, err = self.run_command('restore', 'disks')
        self.assertEqual(1, status)
        self.assertIn('Backend disks: ', err)

    def test_a_damaged_journal_is_left_and_sets_the_exit_status(self):
        self.fill()
        for end in ('', '-wal'):
            os.truncate(self.backend.journal_path + end, 0)
        status, _, err = self.run_command('restore', 'disks')
        self.assertEqual(1, status)
        self.assertIn('is damaged', err)
        self.assertIn('Start cinder-volume', err)
        self.assertEqual([], [n for n in os.listdir(os.path.dirname(
            self.backend.journal_path)) if 'damaged' in n])

    def test_a_wrong_setting_affects_one_backend_only(self):
        self.fill()
        self.write(commands.CONF.replace(
            '[plain]', '[plain]\n    mydriver_state_path = relative'))
        status, _, err = self.run_command('restore', 'plain', 'disks')
        self.assertEqual(1, status)
        self.assertIn('Backend plain: mydriver_state_path: ', err)
        self.assertIn('Backend disks: ', err)

    def test_an_unexpected_error_affects_one_backend_only(self):
        self.fill()
        with mock.patch.object(factory, 'build', side_effect=KeyError('x')):
            status, _, err = self.run_command('restore', 'disks', 'plain')
        self.assertEqual(1, status)
        self.assertIn('Backend disks cannot be restored', err)
        self.assertIn('Backend plain has no journal yet', err)

    def test_a_full_state_filesystem_does_not_stop_it(self):
        self.fill()
        before = self.target.observe(TARGET)
        self.target.targets.clear()
        path = self.backend.journal_path
        files = {n: os.stat(os.path.join(os.path.dirname(path), n)).st_mtime_ns
                 for n in os.listdir(os.path.dirname(path))}
        real = file.open_to_write

        def full(its_path, schema):
            if its_path == path:
                raise errors.of(path, OSError(
                    errno.ENOSPC, os.strerror(errno.ENOSPC)))
            return real(its_path, schema)
        with mock.patch.object(file, 'open_to_write', full), \
                mock.patch.object(lio, 'LioTarget',
                                  return_value=self.target):
            _status, _, err = self.run_command('restore', 'disks')
        self.assertEqual(before, self.target.observe(TARGET))
        self.assertIn('Make room in', err)
        for name in files.keys() - {'owner'}:
            self.assertEqual(files[name], os.stat(os.path.join(
                os.path.dirname(path), name)).st_mtime_ns, name)

    def test_late_addresses_do_not_stop_it(self):
        self.fill()
        before = self.target.observe(TARGET)
        self.target.targets.clear()
        with mock.patch.object(
                self.target, 'check', side_effect=exception.NoAddress(
                    'target_ip_address', 'this host has none', 'See.')), \
                mock.patch.object(lio, 'LioTarget',
                                  return_value=self.target), \
                mock.patch.object(configfs, 'target', self.target.observe):
            _status, _, err = self.run_command('restore', 'disks')
        self.assertEqual(before, self.target.observe(TARGET))
        self.assertIn('this host has none', err)

    def test_a_failing_store_does_not_stop_it(self):
        self.fill()
        with mock.patch.object(
                settings, 'store_of', return_value=mock.Mock(**{
                    'prepare.side_effect': OSError(5, 'broken')})), \
                mock.patch.object(factory, 'build',
                                  side_effect=KeyError('reached')):
            status, _, err = self.run_command('restore', 'disks')
        self.assertEqual(1, status)
        self.assertIn('its store cannot be brought up', err)
        self.assertIn('reached', err)

    def test_help_names_the_commands(self):
        out = io.StringIO()
        with self.assertRaises(SystemExit) as caught:
            main.main(['--help'], stdout=out)
        self.assertFalse(caught.exception.code)
        for name in main.COMMANDS:
            self.assertIn(name, out.getvalue())

# SPDX-License-Identifier: Apache-2.0
"""tempest.conf, the results of tests, the reasons for skips, the table."""

import collections
import configparser
import contextlib
import datetime
import io
from pathlib import Path
import re
import tempfile
from typing import Any
import unittest
from unittest import mock
import uuid

import ddt
from testtools import content

from lab import paths
from lab.cloud import credentials, driver, settings, site
from lab.cloud.config import ini
from lab.tempest import (
    conf,
    results,
    run,
    session,
    skips,
    suites,
    verdict,
)
from mydriver.cinder_volume import manage
from mydriver.stores.lvmthin import store as lvmthin
from mydriver.stores.rbd import store as rbd
from mydriver.stores.reflink import store as reflink

_AT = datetime.datetime(2026, 11, 23, tzinfo=datetime.UTC)

_VOLUME = 'tempest.api.volume.test_volumes_get.VolumesGetTest'
_PLUGIN = 'cinder_tempest_plugin.api.volume.test_volume_revert.RevertTest'


def parsed(options: settings.Options) -> configparser.ConfigParser:
    cloud = site.Site(options, settings.Layout(Path('/state')),
                      credentials.Credentials.generate())
    parser = configparser.ConfigParser(default_section='none',
                                       interpolation=None)
    parser.read_string(ini.render(conf.build(cloud, Path('/work'))))
    return parser


class ConfTest(unittest.TestCase):

    def test_two_backends_and_backup_in_a_full_cloud(self) -> None:
        found = parsed(settings.Options().full())
        self.assertEqual('mydriver,mydriver-2',
                         found['volume']['backend_names'])
        self.assertEqual('mydriver', found['volume']['volume_type'])
        enabled = found['volume-feature-enabled']
        self.assertTrue(enabled.getboolean('multi_backend'))
        self.assertTrue(enabled.getboolean('backup'))

    def test_neither_in_a_plain_one(self) -> None:
        enabled = parsed(settings.Options())['volume-feature-enabled']
        self.assertFalse(enabled.getboolean('multi_backend'))
        self.assertFalse(enabled.getboolean('backup'))

    def test_one_instant_where_the_store_can(self) -> None:
        classes = (('reflink', reflink.ReflinkStore),
                   ('lvmthin', lvmthin.LvmThinStore), ('rbd', rbd.RbdStore))
        self.assertEqual(driver.STORES, tuple(name for name, _ in classes))
        for name, its_class in classes:
            enabled = parsed(settings.Options(store=name))[
                'volume-feature-enabled']
            self.assertIs(its_class.traits.consistent_groups,
                          enabled.getboolean('consistency_group'))

    def test_every_option_is_one_that_tempest_has(self) -> None:
        from tempest import config
        known = collections.defaultdict(set)
        for group, options in config.list_opts():
            known[getattr(group, 'name', group)].update(
                o.name for o in options)
        found = parsed(settings.Options().full())
        for group in set(found.sections()) - {'DEFAULT',
                                              'oslo_concurrency'}:
            self.assertLessEqual(set(found[group]), known[group], group)


@ddt.ddt
class SuitesTest(unittest.TestCase):

    @ddt.data(
        (f'{_VOLUME}.test_get', 'tempest.api.volume'),
        ('tempest.api.compute.volumes.test_attach_volume.X.test_a',
         'tempest.api.compute.volumes'),
        ('tempest.api.compute.admin.test_volume_swap.X.test_a',
         'tempest.api.compute.admin (volumes)'),
        (f'{_PLUGIN}.test_a', 'cinder_tempest_plugin'))
    @ddt.unpack
    def test_each_test_has_its_suite(self, test: str, suite: str) -> None:
        self.assertEqual(suite, suites.suite_of(test))
        self.assertTrue(re.search(suites.regex(), test))

    def test_what_is_not_about_volumes_is_not_chosen(self) -> None:
        test = 'tempest.api.compute.admin.test_flavors.X.test_a'
        self.assertEqual(suites.OTHER, suites.suite_of(test))
        self.assertIsNone(re.search(suites.regex(), test))


def told(test: str, status: str, seconds: int = 1,
         **details: str) -> dict[str, Any]:
    """Return what testtools.StreamToDict says of a test."""
    return {'id': test, 'status': status,
            'timestamps': [_AT, _AT + datetime.timedelta(seconds=seconds)],
            'details': {n: content.text_content(t)
                        for n, t in details.items()}}


class SharesTest(unittest.TestCase):
    """Tests with many servers, and the others."""

    SERVERS = ('tempest.api.compute.volumes.test_a.A.test_b[id-1]',
               'cinder_tempest_plugin.scenario.test_a.A.test_b')
    OTHERS = ('tempest.api.volume.test_a.A.test_b',
              'cinder_tempest_plugin.api.volume.test_a.A.test_b')

    def test_each_test_is_in_one_share(self) -> None:
        for concurrency in range(2, 6):
            shares = suites.shares([*self.SERVERS, *self.OTHERS],
                                   concurrency)
            self.assertEqual(concurrency, sum(n for _p, n in shares))
            for test in (*self.SERVERS, *self.OTHERS):
                self.assertEqual(
                    1, sum(bool(re.search(p, test)) for p, _n in shares),
                    test)

    def test_one_kind_has_all(self) -> None:
        for tests in (self.SERVERS, self.OTHERS):
            self.assertEqual([('.*', 3)], suites.shares(tests, 3))
        self.assertEqual([('.*', 1)], suites.shares(
            [*self.SERVERS, *self.OTHERS], 1))


class ResultsTest(unittest.TestCase):

    def setUp(self) -> None:
        super().setUp()
        self.heard: list[results.Result] = []
        self.found = results.Results(
            [f'{_VOLUME}.test_a[id-1,smoke]', f'{_VOLUME}.test_b[id-2]'],
            self.heard.append)

    def status(self) -> dict[str, str]:
        return {r.test.rpartition('.')[2]: r.status
                for r in self.found.all()}

    def test_tags_are_dropped(self) -> None:
        self.found.add(told(f'{_VOLUME}.test_a[id-1,smoke]', 'success', 7))
        self.found.add(told(f'{_VOLUME}.test_b[id-2]', 'skip',
                            reason='no'))
        self.assertEqual([
            results.Result(f'{_VOLUME}.test_a', 'passed', 7.0),
            results.Result(f'{_VOLUME}.test_b', 'skipped', 1.0, 'no'),
        ], self.found.all())
        self.assertEqual(self.heard, self.found.all())

    def test_a_class_that_is_skipped_counts_as_its_tests(self) -> None:
        self.found.add(told(f'setUpClass ({_VOLUME})', 'skip', reason='off'))
        self.assertEqual({'test_a': 'skipped', 'test_b': 'skipped'},
                         self.status())
        self.assertEqual({'off'}, {r.reason for r in self.found.all()})

    def test_a_class_that_fails_counts_as_its_tests(self) -> None:
        self.found.add(told(f'setUpClass ({_VOLUME})', 'fail',
                            traceback='Boom'))
        self.assertEqual({'test_a': 'failed', 'test_b': 'failed'},
                         self.status())

    def test_the_end_of_a_class_fails_by_itself(self) -> None:
        for name in 'ab':
            self.found.add(told(f'{_VOLUME}.test_{name}', 'success'))
        self.found.add(told(f'tearDownClass ({_VOLUME})', 'fail'))
        self.assertEqual(['passed', 'passed', 'failed'],
                         [r.status for r in self.found.all()])

    def test_what_was_not_told_of_failed(self) -> None:
        self.found.add(told(f'{_VOLUME}.test_a', 'success'))
        self.assertEqual({'test_a': 'passed', 'test_b': 'failed'},
                         self.status())

    def test_what_did_not_end_failed(self) -> None:
        self.found.add(told(f'{_VOLUME}.test_a', 'inprogress'))
        self.assertEqual('failed', self.status()['test_a'])

    def test_a_failure_stays_one(self) -> None:
        self.found.add(told(f'{_VOLUME}.test_a', 'fail', traceback='x'))
        self.found.add(told(f'{_VOLUME}.test_a', 'success'))
        self.assertEqual('failed', self.status()['test_a'])


class ProgressTest(unittest.TestCase):

    def lines(self, count: int, **constants: float) -> list[str]:
        """Return what is said of so many tests, the first one failed."""
        out = io.StringIO()
        with contextlib.redirect_stdout(out), \
                mock.patch.multiple(run, **constants):
            heard = run.Progress(count)
            heard(results.Result('a.b', results.FAILED, 3.0))
            for n in range(1, count):
                heard(results.Result(f'a.{n}', results.PASSED))
        return out.getvalue().splitlines()

    def test_failures_every_so_many_tests_and_the_last(self) -> None:
        said = self.lines(5, _EVERY=2)
        self.assertEqual('  FAILED a.b (3 s)', said[0])
        self.assertEqual(
            ['2 of 5: 1 passed, 1 failed, 0 skipped',
             '4 of 5: 3 passed, 1 failed, 0 skipped',
             '5 of 5: 4 passed, 1 failed, 0 skipped'],
            [line.split(' s  ')[1] for line in said[1:]])

    def test_slow_tests_are_told_of_one_by_one(self) -> None:
        self.assertEqual(4, len(self.lines(3, _EVERY_S=-1.0)))


def skipped(test: str, reason: str) -> results.Result:
    return results.Result(test, results.SKIPPED, 0, reason)


_ONE_HOST = skips.Entry(re.escape(_VOLUME), 'two hosts', 'one host')
_OUT = skips.Entry(re.escape(_PLUGIN), '', 'bug 1', excluded=True)


class SkipsTest(unittest.TestCase):

    def test_each_skip_finds_its_reason(self) -> None:
        mine = skipped(f'{_VOLUME}.test_a', 'needs two hosts')
        out = skipped(f'{_PLUGIN}.test_a', 'excluded')
        account = skips.Skips([_ONE_HOST, _OUT]).account([mine, out])
        self.assertEqual(((_ONE_HOST, (mine,)), (_OUT, (out,))),
                         account.justified)
        self.assertEqual(((), ()), (account.unexplained, account.idle))

    def test_another_reason_is_not_the_one_that_was_given(self) -> None:
        other = skipped(f'{_VOLUME}.test_a', 'the service is off')
        account = skips.Skips([_ONE_HOST]).account([other])
        self.assertEqual((other,), account.unexplained)
        self.assertEqual((_ONE_HOST,), account.idle)

    def test_another_test_is_not_justified(self) -> None:
        other = skipped(f'{_PLUGIN}.test_a', 'needs two hosts')
        self.assertEqual((other,), skips.Skips([_ONE_HOST]).account(
            [other]).unexplained)

    def test_an_entry_holds_on_its_store_alone(self) -> None:
        text = ('[[skip]]\ntest = "a"\nsaid = "b"\nwhy = "c"\n'
                'stores = ["reflink"]\n')
        self.assertEqual(1, len(self.load(text, 'reflink').entries))
        self.assertEqual(0, len(self.load(text, 'lvmthin').entries))

    def load(self, text: str, store: str = 'reflink') -> skips.Skips:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / 'skips.toml'
            path.write_text(text)
            return skips.Skips.load(store, path)

    def test_an_entry_without_a_reason_is_refused(self) -> None:
        for text in ('[[skip]]\ntest = "a"\nsaid = "b"\n',
                     '[[skip]]\ntest = "a"\nsaid = "b"\nwhy = ""\n',
                     '[[exclude]]\ntest = "a"\n',
                     '[[skip]]\ntest = "("\nsaid = "b"\nwhy = "c"\n',
                     '[[skips]]\ntest = "a"\nsaid = "b"\nwhy = "c"\n'):
            with self.assertRaises(skips.BadList, msg=text):
                self.load(text)

    def test_the_committed_list_can_be_read(self) -> None:
        for store in settings.STORES:
            self.assertTrue(skips.Skips.load(store).entries)


class VerdictTest(unittest.TestCase):

    def judge(self, *tests: results.Result, whole: bool = False,
              entries: tuple[skips.Entry, ...] = (_ONE_HOST,),
              left: tuple[str, ...] = ()) -> verdict.Verdict:
        return verdict.Verdict(
            tests, skips.Skips(entries).account(
                t for t in tests if t.status == results.SKIPPED),
            100.0, whole, left)

    passed = results.Result(f'{_PLUGIN}.test_b', results.PASSED, 5.0)
    skip = skipped(f'{_VOLUME}.test_a', 'needs two hosts')

    def test_all_held(self) -> None:
        told = self.judge(self.passed, self.skip, whole=True)
        self.assertFalse(told.failed)
        self.assertEqual('1 passed, 0 failed, 1 skipped', told.summary())

    def test_a_failure_fails(self) -> None:
        told = self.judge(self.passed, results.Result(
            f'{_VOLUME}.test_b', results.FAILED, 1, 'a\nBoom: why'))
        self.assertTrue(told.failed)
        self.assertIn('Boom: why', told.failures())

    def test_a_skip_without_a_reason_fails(self) -> None:
        told = self.judge(skipped(f'{_VOLUME}.test_a', 'just so'))
        self.assertTrue(told.failed)
        self.assertIn('NO REASON IN THE LIST', told.table())
        self.assertIn('just so', told.complaints[0])

    def test_an_idle_entry_fails_a_whole_run_alone(self) -> None:
        self.assertTrue(self.judge(self.passed, whole=True).failed)
        self.assertFalse(self.judge(self.passed, whole=False).failed)

    def test_what_is_left_fails(self) -> None:
        told = self.judge(self.passed, left=('left over, LUNs: 1',))
        self.assertTrue(told.failed)

    def test_the_table_has_a_row_for_each_suite_and_why(self) -> None:
        rows = self.judge(self.passed, self.skip).table().splitlines()
        self.assertEqual([
            ['tempest.api.volume', '0', '0', '1', '0', 's'],
            ['1', 'skipped:', 'one', 'host'],
            ['cinder_tempest_plugin', '1', '0', '0', '5', 's'],
            ['all', '1', '0', '1', '100', 's'],
        ], [row.split() for row in rows[1:]])


_HEAD = '2026-11-23 00:27:02.092 828 ERROR '


class LogTest(unittest.TestCase):

    def errors(self, *lines: str) -> list[str]:
        with tempfile.TemporaryDirectory() as folder:
            log = Path(folder) / 'cinder-volume.log'
            log.write_text('\n'.join(lines) + '\n')
            return session.errors_of_ours(log)

    def frame(self, path: str) -> str:
        return f'{_HEAD}cinder.volume.manager   File "{path}", line 1, in f'

    def test_what_our_modules_log_is_ours(self) -> None:
        line = f'{_HEAD}mydriver.cinder_volume.stats [-] Backend is down'
        self.assertEqual([f'cinder-volume.log: {line}'], self.errors(line))

    def test_a_traceback_that_ends_in_our_code_is_ours(self) -> None:
        found = self.errors(
            f'{_HEAD}cinder.volume.manager Traceback (most recent call '
            'last):', self.frame('/venv/cinder/volume/manager.py'),
            self.frame(f'{paths.ROOT}/mydriver/cinder_volume/driver.py'),
            f'{_HEAD}cinder.volume.manager KeyError: 1')
        self.assertEqual(1, len(found))
        self.assertIn('driver.py', found[0])

    def test_a_traceback_that_goes_through_our_code_is_not(self) -> None:
        self.assertEqual([], self.errors(
            f'{_HEAD}cinder.volume.manager Traceback (most recent call '
            'last):',
            self.frame(f'{paths.ROOT}/mydriver/cinder_volume/driver.py'),
            self.frame('/venv/cinder/image/image_utils.py'),
            f'{_HEAD}cinder.volume.manager ImageUnacceptable: no'))

    def test_what_is_let_go_of_may_stay(self) -> None:
        """With the text that the driver logs."""
        gone, its_id = str(uuid.uuid4()), str(uuid.uuid4())
        volume = mock.Mock(id=its_id, name_id=its_id)
        snapshot = mock.Mock(id=its_id, volume_id=gone)
        for place in ('/var/lib/cinder/mydriver', 'volumes (/etc/ceph.conf)'):
            backend = mock.Mock()
            backend.store.location = place
            managed = manage.Manage(backend, mock.Mock())
            with self.assertLogs(manage.LOG.name) as said:
                managed.unmanage_snapshot(snapshot)
                type(managed).unmanage.__wrapped__(managed, volume)
            with tempfile.TemporaryDirectory() as folder:
                log = Path(folder) / 'cinder-volume.log'
                log.write_text('2026 INFO deleted as snapshot-x\n'
                               + '\n'.join(said.output))
                self.assertEqual(
                    {f'snapshot-{its_id}', f'_snapshot-{its_id}',
                     f'trash/volume-{gone}', f'volume-{its_id}',
                     f'_volume-{its_id}'}, session.unmanaged(log))
                self.assertEqual(
                    set(), session.unmanaged(log, log.stat().st_size))

    def test_other_levels_are_none(self) -> None:
        self.assertEqual([], self.errors(
            '2026-11-23 00:27:02.092 828 INFO mydriver.x [-] ERROR'))

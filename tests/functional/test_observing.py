# SPDX-License-Identifier: Apache-2.0
"""What the commands say of a real initiator that reads and writes."""

import collections
import contextlib
import dataclasses
import errno
import json
import logging
from logging import handlers
import os
from pathlib import Path
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import textwrap
import time
import urllib.request
import uuid

from cinder import exception as cinder_exception
import os_brick
from oslo_concurrency import lockutils
from oslo_config import cfg
from oslo_log import formatters, log
from prometheus_client import parser

from lab import process
from mydriver import model, privileged
from mydriver.backend import devices, settings
from mydriver.cmd import backends
from mydriver.cmd.monitoring import operations
from mydriver.privileged.target import links
from mydriver.stores import names
from mydriver.target import configfs, directory, factory, outline
from tests.fakes import cinder as fakes
from tests.fakes import connecting
from tests.functional import attaching, base, driving, lio, lvm, test_command

ROOT = Path(__file__).parents[2]
MIB = 1 << 20
_RECORDED = re.compile(
    '^mydriver_(?:scrape_timestamp|export_|pool_data_used).*$', re.MULTILINE)
#: How many of each part of a run; the documentation's picture has more.
SCRAPES = int(os.environ.get('MYDRIVER_SCRAPES', '3'))
SIZE_MIB, WRITTEN_MIB, READ_MIB = 192, 64, 32
CINDER, NOVA = SERVICES = ('cinder-volume', 'nova-compute')


class ObservingTest(base.NodeTestCase):
    """On a thin pool: the kernel target exports block devices."""

    place = f'mydriver_store = lvmthin\nmydriver_store_path = {lvm.GROUP}'
    has_device = True

    def setUp(self):
        super().setUp()
        attaching.in_this_process(self)
        self.folder = Path(self.enterContext(
            tempfile.TemporaryDirectory(dir='/run')))
        self.folder.chmod(0o755)
        self.make_place()
        self.addCleanup(lio.clear)
        self.addCleanup(self.log_out)
        self.conf = self.folder / 'cinder.conf'
        self.conf.write_text(textwrap.dedent(test_command.CONF).format(
            folder=self.folder, place=self.place.format(folder=self.folder)))
        self.backend, = backends.read([str(self.conf)])
        lockutils.set_defaults(str(self.folder / 'locks'))
        os_brick.setup(cfg.CONF)
        cfg.CONF.set_override('lock_path', str(self.folder / 'locks'),
                              'os_brick')
        self.store = settings.store_of(self.backend.section, 'disks')
        self.store.prepare()
        self.service = factory.build(self.backend.settings,
                                     devices.StoreDevices(self.store))
        self.service.reconciler.start()
        self.addCleanup(self.service._journal.close)

    def make_place(self):
        """Create a volume group; the store creates its pool."""
        lvm.make_group(extent='4m')
        self.addCleanup(lvm.remove_group)

    @staticmethod
    def log_out():
        """End the sessions that a failed test left."""
        if base.sessions():
            base.run('iscsiadm', '--mode', 'node', '--logoutall=all')

    def attached(self):
        """Attach a new volume to this node; return it."""
        volume_id = str(uuid.uuid4())
        self.store.create(names.volume_name(volume_id), SIZE_MIB * MIB)
        self.service.create_export(volume_id)
        data = connecting.connect(self.service, volume_id,
                                  attaching.Cloud.connector(True))
        connector = attaching.ours(False)
        return attaching.Attachment(volume_id, data, connector,
                                    connector.connect_volume(data))

    def run_command(self, *argv):
        """Run a command of this clone; return what it printed."""
        done = subprocess.run(
            [sys.executable, '-m', 'mydriver.cmd.main', *argv,
             '--config-file', str(self.conf)], cwd=ROOT, text=True,
            capture_output=True, check=False, timeout=200)
        self.assertEqual(0, done.returncode, done.stdout + done.stderr)
        return done.stdout

    def rows(self, *argv):
        """Run a command that prints JSON."""
        return json.loads(self.run_command(*argv, '-f', 'json'))

    def assert_counted(self, row):
        """Check what was counted after the test's own reads and writes.

        udev reads the beginning and the end of a disk, and nobody else
        writes.
        """
        print(f'\n{type(self).__name__}: {row}', file=sys.stderr)
        self.assertEqual(WRITTEN_MIB * MIB, row['Written bytes'])
        self.assertLessEqual(READ_MIB * MIB, row['Read bytes'])
        self.assertLess(row['Read bytes'], (READ_MIB + 16) * MIB)
        self.assertLess(WRITTEN_MIB + READ_MIB, row['Commands'])

    def test_what_was_done_is_counted(self):
        attachment = self.attached()
        initiator = base.initiator_name()
        base.run('dd', 'if=/dev/urandom', f'of={attachment.path}', 'bs=1M',
                 f'count={WRITTEN_MIB}', 'oflag=direct', 'iflag=fullblock')
        base.run('dd', f'if={attachment.path}', 'of=/dev/null', 'bs=1M',
                 f'count={READ_MIB}', 'iflag=direct')
        session, = self.rows('session', 'list')
        self.assertEqual(
            ('disks', attachment.data['target_iqn'], initiator, '127.0.0.1',
             'logged_in', 1, 0),
            tuple(session[name] for name in (
                'Backend', 'Target', 'Initiator', 'From', 'State', 'LUNs',
                'Queue')))
        self.assert_counted(session)
        export, = self.rows('export', 'list')
        self.assert_counted(export)
        self.assertEqual(0 if self.has_device else None, export['Queue'])
        shown = self.rows('export', 'show', attachment.volume_id[:13])
        self.assertTrue(shown['On this host'])
        self.assert_counted(shown)
        if self.has_device:
            self.assertLessEqual(WRITTEN_MIB * MIB,
                                 shown['Device written bytes'])
        self.assert_metrics(attachment)
        self.assert_outline(attachment)
        self.as_the_owner(initiator)
        attachment.disconnect()
        self.assertEqual([], self.rows('session', 'list'))

    @staticmethod
    def values(text):
        """Return the values of metrics by name and one of the labels."""
        return {
            (s.name, s.labels.get('volume_id') or s.labels.get('target')
             or s.labels.get('kind', '')): s.value
            for family in parser.text_string_to_metric_families(text)
            for s in family.samples}

    def assert_metrics(self, attachment):
        """Check the metrics against the same."""
        found = self.values(self.run_command('metrics'))
        self.assertEqual(WRITTEN_MIB * MIB, found[
            'mydriver_export_written_bytes_total', attachment.volume_id])
        target = attachment.data['target_iqn']
        for name in ('sessions', 'logins_total'):
            self.assertEqual(1, found[f'mydriver_{name}', target])
        for kind in ('targets', 'exports', 'mappings'):
            self.assertEqual(0, found['mydriver_drift_objects', kind])
        self.assertEqual(self.has_device, (
            'mydriver_export_inflight_requests', attachment.volume_id)
            in found)
        self.assertEqual(self.has_device,
                         ('mydriver_pool_working', '') in found)

    def assert_outline(self, attachment):
        """Compare the fast view of the target with the full one."""
        target = model.Iqn(attachment.data['target_iqn'])
        full = configfs.target(target)
        self.assertEqual(1, len(full.mappings))
        self.assertEqual(dataclasses.replace(
            full, portals=frozenset(), authenticated=frozenset(),
            exports=tuple(dataclasses.replace(e, path='', size_bytes=0)
                          for e in full.exports)), outline.target(target))
        self.assert_constant(attachment)

    def assert_constant(self, attachment):
        """Check that what is read once for each link cannot change."""
        path, = configfs.ROOT.glob(
            f'core/*/*{attachment.volume_id}/wwn/vpd_unit_serial')
        with self.assertRaises(OSError) as caught:
            path.write_text('another')
        self.assertEqual(errno.EINVAL, caught.exception.errno)
        self.assertIn(attachment.volume_id, path.read_text())
        with self.assertRaises(OSError):
            path.parents[1].rmdir()
        link, = configfs.ROOT.glob(f'iscsi/*/tpgt_1/lun/*/{links.LINK}')
        with directory.opened(str(link.parent)) as lun:
            identity = lun.identity(link.name)
            Path('/proc/sys/vm/drop_caches').write_text('2')
            self.assertEqual(identity, lun.identity(link.name))

    def as_the_owner(self, initiator):
        """Give the state to a user without rights; root becomes that."""
        for folder in (*Path(sys.prefix).parents, *ROOT.parents, ROOT):
            folder.chmod(folder.stat().st_mode | 0o111)  # the node's own
        for path in (self.folder / 'state', *(
                self.folder / 'state').rglob('*')):
            os.chown(path, test_command.NOBODY, test_command.NOBODY)
        out = self.run_command('session', 'list', '--long')
        print(f'\n{out}', file=sys.stderr)
        self.assertIn(initiator, out)

    @contextlib.contextmanager
    def load(self, attachment, read=False):
        """Write to a volume, or read it, again and again."""
        which = ('if="$0" of=/dev/null iflag=direct' if read else
                 'if=/dev/zero of="$0" oflag=direct conv=notrunc')
        again = (f'while :; do dd bs=1M count={SIZE_MIB} {which} '
                 '2>/dev/null; done')
        working = subprocess.Popen(['sh', '-c', again, attachment.path],
                                   start_new_session=True)
        try:
            yield
        finally:
            os.killpg(working.pid, signal.SIGKILL)
            working.wait()
            process.wait_for(lambda: not any(
                arguments[0] == b'dd' for _, arguments in
                base.command_lines()), 'the last dd to end', 60)

    def test_top_while_it_writes(self):
        attachment = self.attached()
        with self.load(attachment):
            process.wait_for(
                lambda: self.rows('export', 'list')[0]['Written bytes'],
                'writes to be counted', 120)
            out = self.run_command('top', '--count', '1', '--interval', '6')
        print(f'\n{out}', file=sys.stderr)
        line, = (x for x in out.splitlines()
                 if x.startswith(attachment.volume_id[:13]))
        _volume, _who, commands, read, written, *_ = line.split()
        self.assertLess(0, int(commands))
        # udev reads a disk that was closed after writing.
        self.assertLess(10 * _bytes(read), _bytes(written))
        attachment.disconnect()

    def test_a_disk_that_does_not_answer(self):
        attachment = self.attached()
        stuck = self.stuck()
        with self.load(attachment):
            process.wait_for(
                lambda: self.rows('export', 'list')[0]['Written bytes'],
                'writes to be counted', 120)
            with stuck:
                session, device = process.wait_for(
                    self.queues, 'commands to wait', 60)
        print(f'\nqueue: session {session}, device {device}',
              file=sys.stderr)
        attachment.disconnect()

    def queues(self):
        """Return those of session and device, if commands wait in them."""
        session, = self.rows('session', 'list')
        export, = self.rows('export', 'list')
        if session['Queue'] and (export['Queue'] or not self.has_device):
            return session['Queue'], export['Queue']
        return None

    @contextlib.contextmanager
    def stuck(self):
        """Keep the data device of the pool from completing anything."""
        name = 'vg--test-mydriver_tdata'
        base.run('dmsetup', 'suspend', '--noflush', '--nolockfs', name)
        try:
            yield
        finally:
            base.run('dmsetup', 'resume', name)

    @contextlib.contextmanager
    def listening(self):
        """Serve metrics over HTTP; give a function that scrapes them."""
        url = 'http://127.0.0.1:9889/metrics'

        def scrape():
            with urllib.request.urlopen(url, timeout=60) as answer:
                return answer.read().decode()

        def answers():
            with contextlib.suppress(OSError):
                return scrape()

        running = subprocess.Popen(
            [sys.executable, '-m', 'mydriver.cmd.main', 'metrics', '--listen',
             '127.0.0.1:9889', '--config-file', str(self.conf)], cwd=ROOT)
        try:
            process.wait_for(answers, 'metrics to be served', 120)
            yield scrape
        finally:
            running.terminate()
            running.wait()

    def test_metrics_of_a_run(self):
        attachment = self.attached()
        read, written = ([], [])
        with self.listening() as scrape:
            for work in (None, 'write', 'read', None):
                with (self.load(attachment, work == 'read') if work
                      else contextlib.nullcontext()):
                    for _ in range(SCRAPES):
                        time.sleep(1)
                        text = scrape()
                        # What doc/plot_metrics.py draws.
                        print('', *_RECORDED.findall(text), sep='\n',
                              file=sys.stderr)
                time.sleep(2)
                found = self.values(scrape())
                read.append(found['mydriver_export_read_bytes_total',
                                  attachment.volume_id])
                written.append(found['mydriver_export_written_bytes_total',
                                     attachment.volume_id])
        self.assertEqual(0, written[0])
        self.assertLess(8 * MIB, written[1])
        self.assertEqual([written[1]] * 2, written[2:])
        self.assertLess(read[1] + 8 * MIB, read[2])
        self.assertEqual(read[2], read[3])
        attachment.disconnect()


class ObservingFilesTest(ObservingTest):
    """On a filesystem: the kernel target exports files."""

    place = 'mydriver_store_path = {folder}/store'
    has_device = False

    @contextlib.contextmanager
    def stuck(self):
        """Freeze the filesystem, so that writes wait."""
        base.run('fsfreeze', '--freeze', self.folder / 'store')
        try:
            yield
        finally:
            base.run('fsfreeze', '--unfreeze', self.folder / 'store')

    def make_place(self):
        """Create the store's filesystem."""
        self.addCleanup(base.run, 'wipefs', '-q', '-a', base.DISK)
        self.mount_xfs(self.folder / 'store')


class OperationsTest(driving.DriverCase):
    """What driver and plugin log of themselves, counted from their logs."""

    VOLUMES = 4

    def setUp(self):
        super().setUp()
        privileged.initiator_context.set_client_mode(False)
        self.addCleanup(privileged.initiator_context.set_client_mode, True)
        self.logs = Path(self.folder, 'logs')
        self.logs.mkdir()
        self.spent_s = collections.Counter()
        self.handlers = {}
        conf = cfg.ConfigOpts()
        log.register_options(conf)
        conf([])
        logger = logging.getLogger('mydriver')
        self.addCleanup(logger.setLevel, logger.level)
        logger.setLevel(logging.INFO)
        for service in SERVICES:
            handler = self.handlers[service] = handlers.WatchedFileHandler(
                self.logs / f'{service}.log')
            handler.setFormatter(formatters.ContextFormatter(
                config=conf, datefmt='%Y-%m-%d %H:%M:%S'))
            self.addCleanup(handler.close)

    def call(self, service, method, *args):
        """Call a method as that service, and measure it."""
        logger = logging.getLogger('mydriver')
        logger.addHandler(self.handlers[service])
        started_s = time.monotonic()
        try:
            return method(*args)
        finally:
            self.spent_s[service, method.__name__] += (
                time.monotonic() - started_s)
            logger.removeHandler(self.handlers[service])

    def rotate(self, *, is_copied):
        """Rotate the logs, as logrotate does."""
        for service in SERVICES:
            path = self.logs / f'{service}.log'
            for n in range(3, 0, -1):
                if Path(f'{path}.{n}').exists():
                    os.rename(f'{path}.{n}', f'{path}.{n + 1}')
            if is_copied:
                shutil.copy(path, f'{path}.1')
                os.truncate(path, 0)
            else:
                path.rename(f'{path}.1')
                path.touch()

    def scrape(self):
        """Return the values of the metrics of operations."""
        done = subprocess.run(
            [sys.executable, '-m', 'mydriver.cmd.main', 'metrics',
             '--config-file', f'{self.folder}/cinder.conf',
             *(f'--events={self.logs}/{service}.log'
               for service in SERVICES)],
            cwd=ROOT, text=True, capture_output=True, check=False,
            timeout=200)
        self.assertEqual(0, done.returncode, done.stdout + done.stderr)
        print('', *(x for x in done.stdout.splitlines() if re.match(
            'mydriver_operation(?!.*(_bucket|[ ]0[.]0$))', x)), sep='\n',
            file=sys.stderr)
        self.assertEqual([], [
            x for x in done.stdout.splitlines()
            if x.startswith('mydriver_event_log_gaps_total{')
            and not x.endswith(' 0.0')])
        return {(s.name, s.labels.get('service'), s.labels.get('operation'),
                 s.labels.get('outcome') or s.labels.get('error', '')):
                s.value
                for family in parser.text_string_to_metric_families(
                    done.stdout) for s in family.samples}

    def life(self):
        """Let a volume live from its creation to its deletion."""
        made, volume = self.driver, fakes.volume()
        ours, here = attaching.ours(False), attaching.Cloud.connector(True)
        self.call(CINDER, made.create_volume, volume)
        self.call(CINDER, made.create_export, None, volume, here)
        data = self.call(CINDER, made.initialize_connection, volume,
                         here)['data']
        path = self.call(NOVA, ours.connect_volume, data)['path']
        self.call(NOVA, ours.disconnect_volume,
                  {**data, 'device_path': path}, None)
        self.call(CINDER, made.terminate_connection, volume, here)
        self.call(CINDER, made.remove_export, None, volume)
        self.call(CINDER, made.delete_volume, volume)

    def refused(self):
        """Let an operation fail."""
        volume = fakes.volume()
        self.call(CINDER, self.driver.create_volume, volume)
        self.call(CINDER, self.driver.create_export, None, volume,
                  attaching.Cloud.connector(True))
        with self.assertRaises(cinder_exception.InvalidConnectorException):
            self.call(CINDER, self.driver.initialize_connection, volume,
                      fakes.connector('no iqn'))

    def test_operations_are_counted_across_rotations(self):
        found = self.scrape()
        for key in ((CINDER, 'create_volume'), (NOVA, 'connect_volume')):
            for outcome in ('ok', 'failed'):
                self.assertEqual(0, found[
                    'mydriver_operations_total', *key, outcome])
        for n in range(self.VOLUMES):
            self.life()
            if n == 1:
                self.scrape()
            self.rotate(is_copied=n % 2)
        self.refused()
        self.assertEqual(0, self.scrape()[
            'mydriver_operation_failures_total', CINDER,
            'initialize_connection', 'InvalidConnector'])
        self.age()
        for _ in range(2):  # again without any operation in between
            self.assert_counted(self.scrape())

    def age(self):
        """Make what is shown as zero older, instead of waiting."""
        path, = Path(self.folder).rglob('events.json')
        found = json.loads(path.read_text())
        for its in found['logs'].values():
            for held in its['held']:
                held[-1] -= operations.HELD_S
        path.write_text(json.dumps(found))

    def assert_counted(self, found):
        """Check the numbers, and that durations are those of the calls."""
        for service, operation, extra in (
                (CINDER, 'create_volume', 1), (CINDER, 'create_export', 1),
                (CINDER, 'initialize_connection', 0),
                (CINDER, 'terminate_connection', 0),
                (CINDER, 'remove_export', 0), (CINDER, 'delete_volume', 0),
                (NOVA, 'connect_volume', 0),
                (NOVA, 'disconnect_volume', 0)):
            failed = int(operation == 'initialize_connection')
            key, name = (service, operation), 'mydriver_operation'
            for outcome, count in (('ok', self.VOLUMES + extra),
                                   ('failed', failed)):
                self.assertEqual(count, found[
                    f'{name}s_total', *key, outcome], (key, outcome))
            self.assertEqual(self.VOLUMES + extra, found[
                f'{name}_duration_seconds_count', *key, ''])
            spent_s = found[f'{name}_duration_seconds_sum', *key, '']
            self.assertLess(0, spent_s)
            # An event has its duration in tenths of a millisecond.
            self.assertLess(spent_s, self.spent_s[key] + 0.01)
        self.assertEqual(1, found[
            'mydriver_operation_failures_total', CINDER,
            'initialize_connection', 'InvalidConnector'])


def _bytes(shown):
    """Return how many bytes a size in a table is, about."""
    return float(shown[:-1]) * 1024 ** 'BKMG'.index(shown[-1])

# SPDX-License-Identifier: Apache-2.0
"""A service is stopped within a detach, and goes on after an attach.

It is another process, stopped by a signal before each of several steps until
its lock in etcd has ended. Meanwhile the volume is detached and attached to
the same host again through another service. What that host has been given, it
keeps. Steps are operations on Ceph, and on locks. All steps, and attaches that
overlap, are in :mod:`tests.unit_cinder.cinder_volume.test_overtaken`.
"""

import faulthandler
import json
import multiprocessing
import os
from pathlib import Path
import signal
import threading
from unittest import mock

from cinder import coordination
from cinder import exception as cinder_exception
from oslo_config import cfg
from tooz.drivers import etcd3gw

from mydriver import model, waiting
from mydriver.ceph import blocking
from mydriver.privileged.target import configfs
from mydriver.stores import names
from tests.fakes import cinder as fakes
from tests.fakes import cinder_native as hosts
from tests.functional import base
from tests.functional.ceph import clustered

#: How long a lock outlives its holder, seconds.
LEASE_S = 5
#: More steps than a detach has.
MOST_STEPS = 99
#: Exit status of a process whose detach failed.
_FAILED = 3

_processes = multiprocessing.get_context('forkserver')
_processes.set_forkserver_preload([__name__])


class Database(fakes.Records):
    """The attachments of one volume, in a file: their ids.

    :param path: of the file.
    """

    def __init__(self, path):
        super().__init__()
        self._path = Path(path)

    def attachments(self, volume_id):
        """Return them, but for what nobody looks at."""
        return [mock.Mock(id=i) for i in json.loads(self._path.read_text())]


def _detach(number, case):
    """Detach a volume; stop before a step, and tell what came of it.

    :param number: of the step.
    :param case: a dict of what the service knows.
    """
    faulthandler.dump_traceback_later(100, exit=True)
    cfg.CONF(['--config-file', case['conf']], project='cinder')
    cfg.CONF.set_override('backend_url', case['url'], group='coordination')
    coordination.COORDINATOR.start()
    its = clustered.new_driver('three', Database(case['database']))
    its.do_setup(fakes.context())
    its.backend.store.names()  # connects
    volume = fakes.volume(id=case['volume'])
    record = fakes.attachment(**case['connector'])
    record.id = case['record']
    volume.volume_attachment.objects = [record]
    count = 0

    def step():
        nonlocal count
        if threading.current_thread() is threading.main_thread():
            count += 1
            if count == number:
                os.kill(os.getpid(), signal.SIGSTOP)

    def run(function):
        step()
        return function()

    for name in ('acquire', 'release'):
        real = getattr(etcd3gw.Etcd3Lock, name)
        mock.patch.object(
            etcd3gw.Etcd3Lock, name,
            lambda *args, real=real: (step(), real(*args))[1]).start()
    blocking.use(run)
    try:
        its.terminate_connection(volume, case['connector'])
    except cinder_exception.CinderException as e:
        Path(case['told']).write_text(str(e))
        os._exit(_FAILED)
    os._exit(0)


class StoppedCase(clustered.ClusterCase):
    """A volume, a host, and a third service that detaches them."""

    url = f'{clustered.ClusterCase.url}?lock_timeout={LEASE_S}'

    def connector(self):
        """Return the connector of the host."""
        raise NotImplementedError

    def given(self, volume):
        """Return what the host has, as something that is never the same."""
        raise NotImplementedError

    def attach(self, volume):
        """Attach the volume through the second service; return the record."""
        record = fakes.attachment(None)
        volume.volume_attachment.objects.append(record)
        self.two.create_export(None, volume, self.connector())
        info = self.two.initialize_connection(volume, self.connector())
        record.connector = self.connector()
        record.connection_info = {**info['data'], 'driver_volume_type':
                                  info['driver_volume_type']}
        self.write(volume)
        return record

    def detach(self, service, volume, record):
        """Detach it."""
        if not service.terminate_connection(volume, record.connector):
            service.remove_export(None, volume)
        volume.volume_attachment.objects.remove(record)
        self.write(volume)

    def write(self, volume):
        """Write the records where the third service looks."""
        self.database.write_text(json.dumps(
            [a.id for a in volume.volume_attachment]))

    def start(self, number, volume, record):
        """Let the third service detach up to a step.

        :returns: the process, and whether it has been stopped.
        """
        child = _processes.Process(target=_detach, args=(number, {
            'conf': f'{self.folder}/cinder.conf', 'url': self.url,
            'database': str(self.database), 'told': str(self.told),
            'volume': volume.id, 'record': record.id,
            'connector': record.connector}))
        child.start()
        self.addCleanup(child.kill)
        waiting.wait_for(lambda: not child.is_alive()
                         or base.is_stopped(child.pid),
                         'the third service', clustered.LONG_S)
        return child, child.is_alive()

    def each_step(self, every):
        """Stop before steps.

        :param every: leave out steps between; MYDRIVER_EVERY_STEP=1 in the
            environment leaves out none.
        """
        every = int(os.environ.get('MYDRIVER_EVERY_STEP', every))
        self.database = Path(self.folder) / 'database'
        self.told = Path(self.folder) / 'told'
        ends = {0: 0, _FAILED: 0}
        for number in range(1, MOST_STEPS, every):
            volume = fakes.volume()
            self.records.volumes = [volume]
            self.one.create_volume(volume)
            record = self.attach(volume)
            child, is_there = self.start(number, volume, record)
            if is_there:
                with self.subTest(number=number):
                    self.detach(self.two, volume, record)
                    record = self.attach(volume)
                    before = self.given(volume)
                    os.kill(child.pid, signal.SIGCONT)
                    child.join(clustered.LONG_S)
                    ends[child.exitcode] += 1
                    if child.exitcode:
                        told = self.told.read_text()
                        print(f'  step {number}: {told}', flush=True)
                        self.assertRegex(told, 'was not detached from')
                        self.assertIn(volume.id, told)
                    self.assertEqual(before, self.given(volume))
                self.detach(self.one, volume, record)
            self.assertIsNone(self.given(volume))
            self.one.remove_export(None, volume)
            self.one.delete_volume(volume)
            if not is_there:
                print(f'{number - every} steps or more, {ends[_FAILED]} '
                      f'refused, {ends[0]} done before', flush=True)
                self.assertEqual(0, child.exitcode)
                self.assertGreater(ends[_FAILED], ends[0])
                return
        self.fail('it never came to its end')


class MappingTest(StoppedCase):
    """Over iSCSI: the LUN in the gateway's kernel."""

    def connector(self):
        """Return the connector of the host."""
        return fakes.connector()

    def given(self, volume):
        """Return the mapping, and the identity of its LUN in configfs."""
        found = self.two.backend.exports._journal.mappings(volume.id)
        if not found:
            return None
        one, = found
        path = configfs.acl(str(one.export.target), str(
            model.Iqn(fakes.INITIATOR))) / f'lun_{one.mapping.lun}'
        return one, one.version, path.stat().st_ino, os.listdir(path)

    def test_a_mapping_that_was_made_again_stays(self):
        self.each_step(every=4)


class NoteTest(StoppedCase):
    """Natively: the note beside the image."""

    native = 'plugin'

    def connector(self):
        """Return the connector of the host."""
        return hosts.able(secret=str(self.ceph.cluster.get_fsid()))

    def given(self, volume):
        """Return the note, None when there is none."""
        return self.two.backend.store.native_notes(
            names.of_volume(volume)).get('able')

    def test_a_note_that_was_made_again_stays(self):
        self.each_step(every=3)

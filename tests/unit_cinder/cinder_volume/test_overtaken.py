# SPDX-License-Identifier: Apache-2.0
"""A detach stands still, loses its lock, and goes on after an attach.

Two services of a cluster, a gateway, Ceph and etcd, all in memory. The detach
stands still before each of its steps in turn, and the attach before each of
several. Whatever the detach makes of it, a host that has been told that it may
use the volume keeps it.
"""

import itertools
from unittest import mock

from cinder import coordination
from cinder import exception as cinder_exception
from cinder.volume import configuration
from cinder.volume import driver as cinder_driver

from mydriver import exception, model
from mydriver.backend import devices
from mydriver.cinder_volume import clustering, locks
from mydriver.stores import names
from mydriver.target import exports, pool
from mydriver.target.gateways import applier, remote
from mydriver.target.journal.rados import journal, targets
from tests.fakes import cinder as fakes
from tests.fakes import cinder_native as hosts
from tests.fakes import notify, standing_still
from tests.fakes.gateways import images, serving
from tests.fakes.target import MemoryTarget

#: Of the steps of the attach, every one of these.
EVERY = 4


class Service(hosts.Engine):
    """What a service of the cluster is set up from.

    :param case: with what all services share.
    :param name: of the service.
    """

    def __init__(self, case, name):
        super().__init__()
        self._case = case
        self._name = name
        self.notes = case.objects

    def store_of(self, conf, name):
        """Return the store, which all services share."""
        return standing_still.NativeStore(
            conf.safe_get('mydriver_store_path'))

    def exports_of(self, conf, wanted, store):
        """Return the service's exports, which a gateway serves."""
        case = self._case
        its = case.journal_of(self._name)
        self.journal = its
        made = exports.ExportService(
            case.settings, its, remote.RemoteTarget(
                its, case.settings.portals_of), None, '',
            devices.DistantDevices(store), self._discover)
        # The locks of one process are not those of another.
        made._changes._backend = self._name
        return made

    def _discover(self, target, initiator, portals, timeout_s):
        return tuple(portals)


class Journal(journal.RadosJournal):
    """The gateway works while a service waits for it."""

    owner = None

    def wait_applied(self, target, generation, timeout_s):
        """See :meth:`.shared.SharedJournal.wait_applied`."""
        standing_still.step()
        with standing_still.hidden():
            if self.owner:
                self.owner.apply_changes('gw', 1)
            return super().wait_applied(target, generation, timeout_s)


class ClusterCase(fakes.CinderTestCase):
    """Two services, ``one`` and ``two``, and Cinder's database."""

    options = 'mydriver_rbd_native = plugin'

    def setUp(self):
        super().setUp()
        self.configure(self.options)
        self.locks = standing_still.Locks()
        self.enterContext(mock.patch.object(
            coordination.COORDINATOR, 'get_lock', self.locks.get_lock))
        self.enterContext(mock.patch.object(clustering, 'check'))
        self.objects, self.notices = (standing_still.Objects(),
                                      notify.FakeNotices())
        self.settings = pool.of_cluster(pool.Settings(
            'be', 'iqn.2010-10.org.openstack:', (), False, self.folder,
            gateways=pool.Gateways(((model.Portal('192.0.2.1'),),)),
            targets=1), serving.FSID, 1)
        self.iqn, = pool.pool(self.settings)
        self.start_gateway()
        self.records = fakes.Records()
        self.one, self.two = self.service('one'), self.service('two')
        self.hosts = itertools.count()

    def journal_of(self, name):
        """Return the journal as a service sees it."""
        its = Journal(self.objects, 'be', targets.Run(name, 'run'),
                      self.notices)
        its.owner = self.owner
        return its

    def start_gateway(self):
        """Serve the only target."""
        self.owner = None
        its = self.journal_of('gw')
        its.create()
        its.add_targets([self.iqn])
        self.target = MemoryTarget('be', (),
                                   portals_of=self.settings.portals_of)
        mapped = images.MemoryImages(
            images.MemoryCeph(self.store_path), '192.0.2.1')
        mapped.connect()
        self.owner = applier.Applier(
            self.iqn, its, self.target, mapped, lambda _mapped: None,
            self.target.name_prefix)
        self.owner.map_all()
        self.owner.apply_all('gw', 1)

    def service(self, name):
        """Return the driver of a service."""
        made = fakes.memory_driver(
            configuration=configuration.Configuration(
                cinder_driver.volume_opts, config_group=fakes.BACKEND),
            host=f'{name}@{fakes.BACKEND}', is_vol_db_empty=False,
            cluster_name=f'cloud@{fakes.BACKEND}', active_backend_id=None,
            records=self.records, engine=Service(self, name))
        made.do_setup(fakes.context())
        made.check_for_setup_error()
        return made

    # -- what Cinder does

    def created(self, **fields):
        """Return a new volume, as it is in the database."""
        volume = fakes.volume(**fields)
        self.one.create_volume(volume)
        self.records.volumes.append(volume)
        return volume

    def as_read(self, volume):
        """Return a volume as a manager has read it from the database."""
        read = fakes.volume(**{
            f: volume[f] for f in ('id', 'multiattach', 'volume_type')})
        read.volume_attachment.objects = list(
            volume.volume_attachment.objects)
        return read

    def attach(self, service, volume, connector):
        """Attach a volume; return the record."""
        record = fakes.attachment(None, attach_status='attaching')
        volume.volume_attachment.objects.append(record)
        read = self.as_read(volume)
        service.create_export(None, read, connector)
        info = service.initialize_connection(read, connector)
        record.connector = connector
        record.connection_info = {
            **info['data'], 'driver_volume_type': info['driver_volume_type']}
        return record

    def detach(self, service, volume, record):
        """Detach a volume, but for the record; return what it reads."""
        read = self.as_read(volume)

        def work():
            if not service.terminate_connection(read, record.connector):
                service.remove_export(None, read)
        return work

    def forget(self, volume, record):
        """Remove a record, as the API does."""
        if record in volume.volume_attachment.objects:
            volume.volume_attachment.objects.remove(record)

    # -- what is seen

    def has(self, volume, connector):
        """Tell whether a host can use a volume."""
        name = names.of_volume(volume)
        if connector['host'] in self.two.backend.store.native_users(name):
            return True
        seen = self.target.observe(self.iqn)
        lun, = [e.lun for e in seen.exports if e.serial == volume.id] or [-1]
        wanted = [m for m in self.two.backend.exports._journal.mappings(
            volume.id) if str(m.mapping.initiator) == connector['initiator']]
        return any((m.initiator, m.tpg_lun) == (connector['initiator'], lun)
                   for m in seen.mappings) and [
                       m.doomed for m in wanted] == [False]

    def assert_nothing_left(self):
        """Nothing is exported, mapped, locked, or remembered."""
        self.assertEqual([], self.two.backend.exports.all())
        seen = self.target.observe(self.iqn)
        self.assertEqual(((), ()), (seen.exports, seen.mappings))
        self.assertEqual({}, self.locks.holders)


class EachStep:
    """Mix it into a :class:`ClusterCase`; it says what a host can do."""

    def connector(self):
        """Return the connector of another host."""
        raise NotImplementedError

    def setUp(self):
        super().setUp()
        self.kept = self.errors = self.runs = 0

    def overtake(self, first, second, *, again, through=None):
        """Let an attach overtake a detach.

        :param first: the step before which the detach stands still.
        :param second: that of the attach; 0 for none.
        :param again: it was detached before; otherwise, another server of the
            same host attaches it, too.
        :param through: the service of the attach; with that of the detach, the
            lock is not lost.
        :returns: whether the detach has so many steps, and the attach.
        """
        volume = self.created(multiattach=not again)
        connector = self.connector()
        ended = self.attach(self.two, volume, connector)
        detach = standing_still.Actor(
            self.detach(self.one, volume, ended), first)
        detach.start()
        stopped = detach.until_idle() == 'stopped'
        if stopped and through is None:
            self.locks.lose()
        if again or not stopped:
            self.detach(self.two, volume, ended)()
            self.forget(volume, ended)
        attach = standing_still.Actor(lambda: self.attach(
            through or self.two, volume, connector), second)
        attach.start()
        came_so_far = attach.until_idle() == 'stopped'
        detach.go_on()
        detach.until_idle()
        attach.go_on()
        for one in (detach, attach):
            one.join(standing_still.LONG_S)
            self.assertFalse(one.is_alive())
        self.runs += 1
        self.forget(volume, ended)
        if attach.error is None:
            self.kept += 1
            self.assertTrue(self.has(volume, connector), (
                first, second, again, detach.error))
        if detach.error is not None:
            self.errors += 1
            self.assertRegex(str(detach.error), 'was not detached from|'
                             'requested again meanwhile|is still mapped to')
        for record in tuple(volume.volume_attachment.objects):
            if record.connector:
                self.detach(self.one, volume, record)()
            self.forget(volume, record)
        self.one.delete_volume(volume)
        self.records.volumes.remove(volume)
        self.assert_nothing_left()
        return stopped, came_so_far

    def each(self, *, again):
        """Stop both at each step."""
        for first in itertools.count(1):
            for second in itertools.chain((0,), itertools.count(1, EVERY)):
                stopped, came_so_far = self.overtake(
                    first, second, again=again)
                if second and not came_so_far:
                    break
            if not stopped:
                break
        self.assertGreater(first, 10)
        self.assertGreater(self.kept, self.runs / 2)
        self.assertGreater(self.errors, 10)

    def test_it_is_attached_again(self):
        self.each(again=True)

    def test_another_server_attaches_it(self):
        self.each(again=False)

    def test_another_server_attaches_it_through_the_same_service(self):
        for first in itertools.count(1):
            if not self.overtake(first, 0, again=False,
                                 through=self.one)[0]:
                break
        self.assertEqual(self.runs, self.kept)
        self.assertGreater(first, 10)


class MappingTest(EachStep, ClusterCase):
    """Over iSCSI."""

    def connector(self):
        """Return the connector of another host."""
        return hosts.stock(f'h{next(self.hosts)}')


class NoteTest(EachStep, ClusterCase):
    """Natively."""

    def connector(self):
        """Return the connector of another host."""
        return hosts.able(f'h{next(self.hosts)}')


class HeldTest(fakes.CinderTestCase):
    """What is proven of a lock."""

    def setUp(self):
        super().setUp()
        self.locks = standing_still.Locks()
        self.enterContext(mock.patch.object(
            coordination.COORDINATOR, 'get_lock', self.locks.get_lock))

    def held(self, *, is_shared=True):
        """Hold the lock of a volume."""
        return locks.held('x', is_shared=is_shared)

    def test_it_is_held_before_and_after(self):
        with self.held() as lock:
            for _ in range(2):
                lock.prove('a host')
                self.assertEqual(['mydriver-x'], [*self.locks.holders])
        self.assertEqual({}, self.locks.holders)

    def test_one_that_was_lost_is_not_proven(self):
        for other in (False, True):
            with self.assertRaises(exception.Overtaken) as caught, (
                    self.held()) as lock:
                self.locks.lose()
                if other:
                    self.locks.get_lock('mydriver-x').acquire()
                lock.prove('a host')
            for word in ('x', 'a host', 'has lost the lock'):
                self.assertIn(word, str(caught.exception))
            self.assertEqual(other, bool(self.locks.holders))

    def test_nothing_is_proven_while_nobody_answers(self):
        with (mock.patch.object(standing_still.Lock, 'release',
                                side_effect=OSError('no etcd')),
              self.assertLogs('mydriver', 'ERROR'),
              self.assertRaisesRegex(exception.Overtaken, 'no etcd'),
              self.held() as lock):
            lock.prove('a host')

    def test_alone_there_is_nothing_to_prove(self):
        with self.held(is_shared=False) as lock, mock.patch.object(
                standing_still.Lock, 'release') as release:
            lock.prove('a host')
            release.assert_not_called()

    def test_it_is_the_lock_of_all_operations(self):
        with self.held():
            self.assertEqual([clustering.exclusively('x').name],
                             [*self.locks.holders])


class DeletionTest(ClusterCase):
    """A deletion that stands still, too."""

    def test_what_was_attached_since_stays(self):
        volume, connector = self.created(multiattach=True), hosts.stock()
        self.attach(self.one, volume, connector)
        user = model.Iqn(connector['initiator'])
        read = self.as_read(volume)
        read.volume_attachment.objects.clear()
        self.one.backend.in_flight.kept(read, user)
        with self.assertRaisesRegex(cinder_exception.VolumeDriverException,
                                    'attached there again'):
            self.one.delete_volume(read)
        self.assertTrue(self.has(volume, connector))

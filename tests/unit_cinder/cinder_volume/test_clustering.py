# SPDX-License-Identifier: Apache-2.0
"""What may be in a cluster, and what its services share."""

import contextlib
from unittest import mock

from cinder import coordination
from cinder import exception as cinder_exception
from cinder.volume import configuration
from cinder.volume import driver as cinder_driver
from oslo_config import cfg

from mydriver import exception, model
from mydriver.cinder_volume import clustering, inflight, startup
from mydriver.connection import HostName
from mydriver.stores import base
from mydriver.target import pool
from tests.fakes import cinder as fakes
from tests.fakes import omap

INITIATOR = model.Iqn('iqn.1993-08.org.debian:01:one')
CLUSTER = f'cloud@{fakes.BACKEND}'


class CheckTest(fakes.CinderTestCase):
    """What belongs to one host is refused, with the remedy."""

    def wanted(self, **more):
        """Return settings of a backend."""
        return pool.Settings(
            backend='ceph', target_prefix='iqn.2010-10.org.openstack:',
            portals=(model.Portal('192.0.2.1', 3260),), chap=True,
            state_path=self.folder, **more)

    def store(self, **traits):
        """Return a stand-in for a store."""
        return mock.Mock(
            location='the place', traits=base.Traits(
                'iblock', False, True, False, False, 512, False, True,
                **traits))

    def refused(self, wanted, store):
        """Return the error of a check."""
        with self.assertRaises(exception.ConfigurationError) as caught:
            clustering.check(wanted, store)
        return str(caught.exception)

    def test_a_local_store(self):
        text = self.refused(self.wanted(), self.store())
        self.assertIn('cluster', text)
        self.assertIn('mydriver_store = rbd', text)

    def test_targets_on_this_host(self):
        text = self.refused(self.wanted(), self.store(shared=True))
        self.assertIn('mydriver_gateway_addresses', text)

    def test_locks_of_this_host(self):
        served = self.wanted(gateways=pool.Gateways(()))
        text = self.refused(served, self.store(shared=True))
        self.assertIn('[coordination] backend_url', text)
        self.assertIn('file', text)
        for url in ('etcd3+http://user:secret@[::1]:2379', 'redis://x:1'):
            with self.backend_url(url):
                clustering.check(served, self.store(shared=True))
        with self.backend_url('zake+x://secret'):
            self.assertNotIn('secret', self.refused(
                served, self.store(shared=True)))

    @contextlib.contextmanager
    def backend_url(self, url):
        """Set where Cinder's locks are."""
        cfg.CONF.set_override('backend_url', url, group='coordination')
        try:
            yield
        finally:
            cfg.CONF.clear_override('backend_url', group='coordination')

    def driver(self, **more):
        """Return a driver of a cluster, not set up."""
        return fakes.memory_driver(
            configuration=configuration.Configuration(
                cinder_driver.volume_opts, config_group=fakes.BACKEND),
            host=fakes.HOST, cluster_name=CLUSTER, is_vol_db_empty=False,
            active_backend_id=None, **more)

    def test_the_driver_refuses_it_when_it_is_set_up(self):
        driver = self.driver()
        self.assertTrue(driver.SUPPORTS_ACTIVE_ACTIVE)
        with self.assertRaisesRegex(
                cinder_exception.InvalidConfigurationValue, 'cluster'):
            driver.do_setup(fakes.context())

    def test_replication_is_refused(self):
        self.configure('replication_device = backend_id:other')
        with self.assertRaisesRegex(
                cinder_exception.InvalidConfigurationValue,
                'replication_device'):
            self.new_driver().do_setup(fakes.context())

    def test_freezing_needs_nothing(self):
        driver = self.driver()
        self.assertIs(True, driver.freeze_backend(None))
        self.assertIs(True, driver.thaw_backend(None))


class InFlightTest(fakes.CinderTestCase):
    """One service knows of the attaches of another one."""

    def setUp(self):
        super().setUp()
        self.objects = omap.FakeObjects()
        self.one, self.two = (inflight.InFlight(inflight.Shared(self.objects))
                              for _ in range(2))

    def test_an_attach_of_the_other_service(self):
        volume = fakes.volume(multiattach=True)
        volume.volume_attachment.objects = [fakes.attachment(None)]
        for user in (INITIATOR, HostName('höst')):
            self.one.begin(volume, user)
            self.assertTrue(self.two.is_pending(
                volume, user, volume.volume_attachment))
            self.assertTrue(self.two.drop_finished(
                volume, user, lambda: volume.volume_attachment))
            self.assertFalse(self.two.drop_finished(volume, user, list))
        self.assertEqual({}, self.objects.content[inflight.OBJECT])

    def test_a_kept_mapping(self):
        volume = fakes.volume()
        self.one.kept(volume, INITIATOR)
        self.assertEqual({INITIATOR}, self.two.forget(volume))
        self.assertEqual(frozenset(), self.one.forget(volume))
        self.assertEqual({}, self.objects.content[inflight.OBJECT])

    def test_a_note_that_came_in_between_stays(self):
        volume = fakes.volume(multiattach=True)
        volume.volume_attachment.objects = [fakes.attachment(None)]
        others = [HostName(f'host-{n}') for n in range(3)]
        changes = (lambda: self.one.begin(volume, INITIATOR),
                   lambda: self.one.kept(volume, INITIATOR),
                   lambda: self.one.drop_finished(volume, INITIATOR, list))
        for change, user in zip(changes, others, strict=True):
            self.objects.before_write = (
                lambda user=user: self.two.begin(volume, user))
            change()
            self.assertIsNone(self.objects.before_write)
            self.assertTrue(self.two.is_pending(
                volume, user, volume.volume_attachment))
        self.assertEqual({INITIATOR}, self.two.forget(volume))

    def test_a_damaged_entry_is_an_error(self):
        volume = fakes.volume()
        for text in ('x', '[]', '{}', '{"ids": {"a": []}, "kept": []}',
                     '{"ids": {}, "kept": ["initiator x"]}'):
            self.objects.content[inflight.OBJECT] = {volume.id: text}
            with self.assertRaisesRegex(exception.StoreError, 'damaged'):
                self.two.forget(volume)


class StartTest(fakes.CinderTestCase):
    """A start disturbs nothing that goes through another service."""

    def setUp(self):
        super().setUp()
        pause = mock.patch.object(startup, '_DETACH_S', 0)
        pause.start()
        self.addCleanup(pause.stop)

    def test_a_volume_that_was_detached_meanwhile_is_not_exported(self):
        driver = self.started_driver()
        volume = fakes.volume()
        driver.create_volume(volume)
        clustered = driver.backend
        object.__setattr__(clustered, 'cluster', CLUSTER)
        driver.ensure_export(None, volume)
        self.assertEqual({}, driver.engine.exported())
        volume.volume_attachment.objects = [fakes.attachment(
            str(INITIATOR))]
        driver.records.volumes = [volume]
        driver.ensure_export(None, volume)
        self.assertEqual([volume.id], list(driver.engine.exported()))

    def test_the_lock_of_a_volume_is_that_of_its_operations(self):
        name = clustering.exclusively('x').name
        self.assertEqual(
            coordination.COORDINATOR.get_lock('mydriver-x').name, name)

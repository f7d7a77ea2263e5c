# SPDX-License-Identifier: Apache-2.0
"""Cinder's own scheduler, fed with what the driver reports."""

from unittest import mock

from cinder.scheduler import host_manager
from cinder.scheduler.filters import capacity_filter, driver_filter
from cinder.scheduler.weights import goodness
from oslo_utils import timeutils

from mydriver.stores import base
from tests.fakes import cinder as fakes

GIB = 1024 ** 3


def request(size_gib, **fields):
    """Return what the filters get of a request."""
    return {'size': size_gib, 'volume_type': {'extra_specs': {}},
            'request_spec': {'volume_id': 'x', 'volume_properties': {
                'size': size_gib}}, **fields}


class SchedulerCase(fakes.CinderTestCase):
    """A backend of 100 GiB with room as a test says."""

    options = ''

    def setUp(self):
        super().setUp()
        self.configure(self.options)
        self.driver = self.started_driver()
        patch = mock.patch.object(self.driver.backend.store._obj, 'capacity')
        self.capacity = patch.start()
        self.addCleanup(patch.stop)
        self.has(free_gib=100)

    def has(self, free_gib, provisioned_gib=0, total_gib=100):
        """Say what room there is."""
        self.capacity.return_value = base.Capacity(
            total_gib * GIB, free_gib * GIB, provisioned_gib * GIB)

    def pool(self):
        """Return the scheduler's view of the backend's pool."""
        seen = host_manager.BackendState(fakes.HOST, None)
        seen.update_from_volume_capability({
            **self.driver.get_volume_stats(refresh=True),
            'timestamp': timeutils.utcnow()})
        pool, = seen.pools.values()
        return pool

    def fits(self, size_gib, **fields):
        """Tell whether the CapacityFilter takes a volume."""
        return capacity_filter.CapacityFilter().backend_passes(
            self.pool(), request(size_gib, **fields))

    def passes(self, size_gib):
        """Tell whether the DriverFilter takes a volume."""
        return bool(driver_filter.DriverFilter().backend_passes(
            self.pool(), request(size_gib)))

    def weight(self):
        """Return what the GoodnessWeigher says."""
        return goodness.GoodnessWeigher()._weigh_object(
            self.pool(), request(1))


class CapacityTest(SchedulerCase):
    """Thin accounting, with a ratio that is configured."""

    options = """
        max_over_subscription_ratio = 2
        reserved_percentage = 10
    """

    def test_what_may_be_promised(self):
        self.has(free_gib=100, provisioned_gib=150)
        self.assertEqual(
            (150, 2.0, True, True),
            tuple(getattr(self.pool(), n) for n in (
                'provisioned_capacity_gb', 'max_over_subscription_ratio',
                'thin_provisioning_support', 'multiattach')))
        self.assertTrue(self.fits(30))
        self.assertFalse(self.fits(31))
        self.assertTrue(self.fits(60, new_size=80))

    def test_cinders_filter_alone_does_not_look_at_what_is_left(self):
        self.has(free_gib=0, provisioned_gib=100)
        self.assertTrue(self.fits(10))
        self.assertFalse(self.passes(10))

    def test_the_filter_looks_at_what_is_left(self):
        for free_gib, size_gib, expected in (
                (11, 1, True), (10, 1, False), (0, 1, False),
                (90, 100, True), (90, 101, False), (90, 0, True)):
            self.has(free_gib=free_gib)
            with self.subTest(free_gib=free_gib, size_gib=size_gib):
                self.assertIs(expected, self.passes(size_gib))

    def test_goodness_is_what_is_free_of_the_scarcer(self):
        for free_gib, provisioned_gib, expected in (
                (100, 0, 100), (40, 0, 40), (100, 50, 75), (100, 150, 25),
                (30, 20, 30), (100, 250, 0), (0, 0, 0)):
            self.has(free_gib, provisioned_gib)
            with self.subTest(free=free_gib, provisioned=provisioned_gib):
                self.assertAlmostEqual(expected, self.weight())

    def test_volumes_that_were_just_placed_count(self):
        pool = self.pool()
        pool.consume_from_volume({'size': 95})
        self.assertFalse(driver_filter.DriverFilter().backend_passes(
            pool, request(1)))


class AutomaticTest(SchedulerCase):
    """The scheduler works the ratio out."""

    options = 'max_over_subscription_ratio = auto'

    def test_the_ratio_follows_the_use(self):
        self.assertEqual(20, self.pool().max_over_subscription_ratio)
        # 1 + provisioned / (total - free + 1)
        self.has(free_gib=51, provisioned_gib=200)
        self.assertEqual(5, self.pool().max_over_subscription_ratio)
        self.assertTrue(self.fits(300))
        self.assertFalse(self.fits(301))

    def test_goodness_is_what_can_be_written(self):
        self.has(free_gib=40, provisioned_gib=5000)
        self.assertAlmostEqual(40, self.weight())


class ConfiguredTest(SchedulerCase):
    """The operator's functions go first."""

    options = """
        filter_function = volume.size < 3
        goodness_function = 7
    """

    def test_they_are_used(self):
        self.assertEqual((True, False), (self.passes(2), self.passes(3)))
        self.assertEqual(7, self.weight())


class StateTest(SchedulerCase):
    """A backend that cannot serve gets no new volumes."""

    def state(self):
        """Return the reported state."""
        pool, = self.driver.get_volume_stats(refresh=True)['pools']
        return pool['backend_state']

    def test_a_target_that_does_not_serve(self):
        targets = self.driver.engine.target.targets
        iqn = min(targets)

        def disable():
            targets[iqn].enabled = False

        def lose_its_portals():
            targets[iqn].portals = frozenset()

        for breaks in (disable, lose_its_portals, lambda: targets.pop(iqn)):
            whole = targets[iqn]
            self.assertEqual('up', self.state())
            self.assertTrue(self.fits(1))
            with self.assertLogs('mydriver', 'ERROR') as logged:
                breaks()
                self.assertEqual('down', self.state())
            self.assertIn(iqn, logged.output[0])
            self.assertFalse(self.fits(1))
            self.assertFalse(self.passes(1))
            targets[iqn] = whole
            whole.enabled, whole.portals = True, frozenset(fakes.PORTALS)
        self.assertEqual('up', self.state())

    def test_a_portal_less_keeps_it_up_and_is_told_once(self):
        targets = self.driver.engine.target.targets
        iqn = min(targets)
        self.assertEqual('up', self.state())
        for at, named in ((targets, fakes.PORTALS[1]),
                          ([iqn], f'{fakes.PORTALS[1]} of {iqn}')):
            for name in at:
                targets[name].portals = frozenset(fakes.PORTALS[:1])
            with self.assertLogs('mydriver', 'WARNING') as logged:
                self.assertEqual('up', self.state())
            self.assertIn(named, logged.output[0])
            with self.assertNoLogs('mydriver', 'INFO'):
                self.assertEqual('up', self.state())
            self.assertTrue(self.passes(1))
            for target in targets.values():
                target.portals = frozenset(fakes.PORTALS)
            with self.assertLogs('mydriver', 'INFO') as logged:
                self.assertEqual('up', self.state())
            self.assertIn('all of its portals', logged.output[0])

    def test_a_start_mends_it(self):
        self.driver.engine.target.targets.clear()
        self.assertEqual('down', self.state())
        self.driver.check_for_setup_error()
        self.assertEqual('up', self.state())


class CapabilitiesTest(SchedulerCase):
    """What an operator can ask for."""

    def test_capabilities(self):
        self.driver.init_capabilities()
        said = self.driver.capabilities
        self.assertEqual(
            {'thin_provisioning', 'compression', 'qos',
             'replication_enabled'}, set(said['properties']))
        self.assertEqual('reflink', said['pools'][0]['mydriver_store'])
        self.assertEqual('fast', said['volume_backend_name'])

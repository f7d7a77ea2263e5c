# SPDX-License-Identifier: Apache-2.0
"""The life of devices: up before an export, down after it."""

import os
from unittest import mock

from mydriver import exception, model
from mydriver.backend import devices as backend_devices
from mydriver.stores.reflink import store as reflink
from mydriver.target import pool
from tests.fakes import connecting
from tests.fakes import exports as fakes
from tests.fakes.exports import ALICE, BOB, MIB


class Crash(BaseException):
    """The process ends here."""


class LifeTest(fakes.ServiceCase):
    """When devices are brought up and let down."""

    def setUp(self):
        super().setUp()
        self.steps = []
        self.target.on_change = self.steps.append
        self.devices.calls = Recorder(self.steps)

    def test_the_device_is_up_before_its_export(self):
        volume_id, _device = self.volume()
        for _ in range(2):
            self.steps.clear()
            self.service.create_export(volume_id)
            self.assertEqual(['bring_up', 'before ensure_export',
                              'after ensure_export'], self.steps)
            self.assertEqual({volume_id}, self.devices.up)

    def test_it_is_let_down_after_its_export(self):
        volume_id = self.exported()
        self.steps.clear()
        for _ in range(2):
            self.assertTrue(self.service.remove_export(volume_id))
            self.assertEqual(['before drop_export', 'after drop_export',
                              'let_down'], self.steps)
            self.assertEqual(set(), self.devices.up)

    def test_only_with_its_last_user(self):
        volume_id = self.exported()
        connecting.connect(self.service, volume_id, ALICE)
        connecting.connect(self.service, volume_id, BOB)
        connecting.disconnect(self.service, volume_id, ALICE)
        self.assertFalse(self.service.remove_export(volume_id))
        self.assertEqual({volume_id}, self.devices.up)
        connecting.disconnect(self.service, volume_id, BOB)
        self.assertEqual({volume_id}, self.devices.up)
        self.assertTrue(self.service.remove_export(volume_id))
        self.assertEqual(set(), self.devices.up)

    def test_an_export_that_fails_lets_a_new_device_down(self):
        volume_id, device = self.volume()
        os.unlink(device.path)
        with self.assertRaises(exception.TargetError):
            self.service.create_export(volume_id)
        self.assertEqual(set(), self.devices.up)
        self.assertEqual([], self.journal.exports())

    def test_an_export_that_fails_again_keeps_its_device_up(self):
        volume_id = self.exported()
        before = self.seen()
        os.unlink(self.devices.known[volume_id].path)
        with self.assertRaises(exception.TargetError):
            self.service.create_export(volume_id)
        self.assertEqual(before, self.seen())
        self.assertEqual({volume_id}, self.devices.up)

    def test_a_device_that_cannot_be_brought_up_exports_nothing_new(self):
        volume_id, _device = self.volume()
        self.devices.broken.add(volume_id)
        with self.assertRaises(exception.StoreError):
            self.service.create_export(volume_id)
        self.assertEqual(([], [], []), self.seen())
        self.assertEqual([], self.journal.exports())

    def test_a_device_that_cannot_be_let_down_can_be_tried_again(self):
        volume_id = self.exported()
        self.devices.broken.add(volume_id)
        with self.assertRaises(exception.StoreError):
            self.service.remove_export(volume_id)
        self.assertEqual([], self.seen()[0])
        self.devices.broken.clear()
        self.assertTrue(self.service.remove_export(volume_id))
        self.assertEqual(set(), self.devices.up)
        self.assertEqual([], self.journal.exports())

    def test_a_crash_between_device_and_export(self):
        volume_id, _device = self.volume()

        def crash(step):
            raise Crash(step)
        self.target.on_change = crash
        with self.assertRaises(Crash):
            self.service.create_export(volume_id)
        self.target.on_change = self.steps.append
        self.restart()
        self.assertEqual([volume_id], self.seen()[0])
        self.service.reconciler.settle(lambda _v, _i: False)
        self.assertEqual(([], set()), (self.seen()[0], self.devices.up))


class LocalTest(fakes.ServiceCase):
    """The host itself works on a volume."""

    def setUp(self):
        super().setUp()
        self.volume_id = self.volume()[0]

    def up(self):
        """Tell whether the volume's device is up."""
        return self.volume_id in self.devices.up

    def test_up_while_it_is_used(self):
        with self.service.local_device(self.volume_id) as device:
            self.assertTrue(self.up())
            self.assertEqual(self.devices.known[self.volume_id], device)
        self.assertFalse(self.up())

    def test_an_export_keeps_it_up(self):
        with self.service.local_device(self.volume_id):
            self.service.create_export(self.volume_id)
        self.assertTrue(self.up())
        self.assertTrue(self.service.remove_export(self.volume_id))
        self.assertFalse(self.up())

    def test_a_local_user_keeps_it_up(self):
        self.service.create_export(self.volume_id)
        with self.service.local_device(self.volume_id):
            self.assertTrue(self.service.remove_export(self.volume_id))
            self.assertTrue(self.up())
            with self.service.local_device(self.volume_id):
                self.assertTrue(self.up())
            self.assertTrue(self.up())
        self.assertFalse(self.up())

    def test_an_error_releases_it(self):
        with self.assertRaisesRegex(RuntimeError, 'no image'), \
                self.service.local_device(self.volume_id):
            raise RuntimeError('no image')
        self.assertFalse(self.up())

    def test_a_release_that_fails_fails_no_work(self):
        with self.assertLogs('mydriver.target.changes', 'WARNING') as logs, \
                self.service.local_device(self.volume_id):
            self.devices.broken.add(self.volume_id)
        self.assertIn(f'volume {self.volume_id} stays up', logs.output[0])
        self.devices.broken.clear()
        with self.service.local_device(self.volume_id):
            self.assertTrue(self.up())
        self.assertFalse(self.up())

    def test_a_busy_journal_fails_no_work(self):
        busy = mock.patch.object(
            self.journal, 'export',
            side_effect=exception.WaitTimeout('the journal', 5))
        with self.assertLogs('mydriver.target.changes', 'WARNING') as logs, \
                busy, self.service.local_device(self.volume_id):
            pass
        self.assertIn(f'volume {self.volume_id} stays up', logs.output[0])
        self.assertTrue(self.up())
        with self.service.local_device(self.volume_id):
            pass
        self.assertFalse(self.up())


class StartTest(fakes.ServiceCase):
    """A start, after a reboot or without one."""

    def setUp(self):
        super().setUp()
        self.mapped, self.plain = self.exported(), self.exported()
        connecting.connect(self.service, self.mapped, ALICE)
        connecting.connect(self.service, self.mapped, BOB)

    def test_each_device_is_brought_up_once(self):
        self.target.targets.clear()
        self.devices.calls.clear()
        self.restart()
        self.assertEqual(
            sorted([('bring_up', self.mapped), ('bring_up', self.plain)]),
            sorted(self.devices.calls))
        self.assertEqual(sorted([self.mapped, self.plain]), self.seen()[0])

    def test_a_broken_device_leaves_its_export_as_it_is(self):
        before = self.seen()
        for broken in (self.mapped, self.plain):
            self.devices.broken = {broken}
            with self.assertLogs('mydriver', 'ERROR') as logged:
                self.restart()
            self.assertIn(broken, '\n'.join(logged.output))
            self.assertEqual(before, self.seen())
            self.assertEqual(2, len(self.journal.exports()))
            self.assertEqual(2, len(self.journal.mappings()))

    def test_a_broken_device_keeps_no_other_from_coming_back(self):
        self.target.targets.clear()
        self.devices.broken = {self.mapped}
        self.restart()
        self.assertEqual([self.plain], self.seen()[0])
        self.devices.broken.clear()
        self.restart()
        self.assertEqual(sorted([self.mapped, self.plain]), self.seen()[0])
        self.assertEqual(2, len(self.seen()[1]))

    def test_an_unreadable_record_of_the_store_locks_nobody_out(self):
        before = self.seen()
        self.target.targets.clear()

        def unknown(_volume_id):
            raise exception.IdentityUnknown(
                'mydriver_state_path', 'it is empty', 'Remove it.')
        with mock.patch.object(self.devices, 'bring_up', unknown), \
                self.assertLogs('mydriver', 'WARNING') as logged:
            self.restart()
        self.assertIn('it is empty', '\n'.join(logged.output))
        self.assertEqual(before, self.seen())

    def test_a_device_that_moved_and_grew_is_recorded(self):
        self.target.targets.clear()
        device = self.devices.known[self.plain]
        moved = f'{device.path}.moved'
        os.rename(device.path, moved)
        os.truncate(moved, 2 * MIB)
        self.devices.known[self.plain] = model.BackingDevice(
            'fileio', moved, MIB)
        self.restart()
        export = self.journal.export(self.plain)
        self.assertEqual((moved, 2 * MIB),
                         (export.device.path, export.device.size_bytes))
        seen = self.target.observe(export.target)
        self.assertIn((self.plain, moved),
                      [(e.serial, e.path) for e in seen.exports])

    def test_a_device_that_shrank_changes_nothing(self):
        before = self.journal.exports()
        os.truncate(self.devices.known[self.plain].path, MIB // 2)
        with self.assertLogs('mydriver', 'ERROR') as logged:
            self.restart()
        self.assertIn(self.plain, '\n'.join(logged.output))
        self.assertEqual(before, self.journal.exports())
        self.assertEqual({MIB}, {
            e.size_bytes for t in pool.pool(self.settings)
            for e in self.target.observe(t).exports})


class StoreDevicesTest(fakes.ServiceCase):
    """The store's names of a volume's device."""

    def test_the_store_is_asked_for_the_volume(self):
        volume_id, device = self.volume()
        name = f'volume-{volume_id}'
        asked = []

        class Store:
            traits = reflink.ReflinkStore.traits

            def bring_up(self, name):
                asked.append(('bring_up', name))
                return device

            def let_down(self, name):
                asked.append(('let_down', name))
        of_store = backend_devices.StoreDevices(Store())
        self.assertIs(device, of_store.bring_up(volume_id))
        of_store.let_down(volume_id)
        self.assertEqual([('bring_up', name), ('let_down', name)], asked)


class Recorder(list):
    """Notes the names of calls among the steps of the target."""

    def __init__(self, steps):
        super().__init__()
        self._steps = steps

    def append(self, call):
        self._steps.append(call[0])

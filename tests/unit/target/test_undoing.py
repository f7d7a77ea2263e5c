# SPDX-License-Identifier: Apache-2.0
"""A step fails, and so does its undo."""

from mydriver import exception
from tests.fakes import connecting
from tests.fakes import exports as exporting
from tests.unit.target.test_exports import ALICE, BOB

GONE = exception.PrivilegedError('a verb', 'it was lost twice')


class UndoingTest(exporting.ServiceCase):
    """The privileged daemon dies before a step is undone."""

    def setUp(self):
        super().setUp()
        self.volume_id = self.exported()

    def broken(self, *verbs):
        """Have verbs of the target fail from now on."""
        def on_change(verb):
            if verb.removeprefix('before ') in verbs:
                raise GONE
        self.target.on_change = on_change

    def fail_to_attach(self, connector=ALICE):
        """Attach where no portal answers and no mapping can be dropped."""
        self.reachable = ()
        self.broken('drop_mapping')
        with self.assertRaises(exception.TargetNotDiscovered):
            connecting.connect(self.service, self.volume_id, connector)
        self.reachable = self.portals
        self.assertIn((connector['initiator'], self.volume_id),
                      [(i, v) for i, _lun, v in self.seen()[1]])

    def test_the_first_error_is_told_and_the_export_can_go(self):
        self.fail_to_attach()
        self.broken()
        self.assertTrue(self.service.remove_export(self.volume_id))
        self.assertEqual(([], [], []), self.seen())
        self.assertEqual([], self.journal.mappings())

    def test_it_waits_until_it_can_go(self):
        self.fail_to_attach()
        for _ in range(2):
            with self.assertRaises(exception.MyDriverError):
                self.service.remove_export(self.volume_id)
        self.broken()
        self.assertTrue(self.service.remove_export(self.volume_id))

    def test_it_is_no_user(self):
        connecting.connect(self.service, self.volume_id, BOB)
        self.fail_to_attach()
        self.broken()
        self.assertFalse(connecting.disconnect(
            self.service, self.volume_id, BOB))
        self.assertEqual([], self.seen()[1])

    def test_another_host_attaches(self):
        self.fail_to_attach()
        self.broken()
        connecting.connect(self.service, self.volume_id, BOB)
        self.assertEqual([(BOB['initiator'], 1, self.volume_id)],
                         self.seen()[1])

    def test_the_same_host_attaches_meanwhile(self):
        self.fail_to_attach()
        self.broken()
        connecting.connect(self.service, self.volume_id, ALICE)
        self.assertFalse(self.service.remove_export(self.volume_id))
        self.restart()
        self.assertEqual([(ALICE['initiator'], 1, self.volume_id)],
                         self.seen()[1])

    def test_the_same_host_fails_again(self):
        for _ in range(2):
            self.fail_to_attach()
        self.broken()
        self.assertTrue(self.service.remove_export(self.volume_id))

    def test_a_writable_one_does_not_come_back_as_such(self):
        self.fail_to_attach()
        self.broken()
        connecting.connect(self.service, self.volume_id, ALICE,
                           read_only=True, keep_writable=True)
        placed, = self.journal.mappings()
        self.assertTrue(placed.mapping.read_only)

    def test_it_does_not_outlive_the_service(self):
        self.fail_to_attach()
        self.broken()
        self.target.targets.clear()
        self.restart()
        self.assertEqual(([self.volume_id], [], []), self.seen())

    def test_a_start_goes_on_without_it(self):
        other = self.exported()
        connecting.connect(self.service, other, BOB)
        self.fail_to_attach()
        self.restart()
        self.assertEqual(2, len(self.seen()[1]))
        self.broken()
        self.assertTrue(self.service.remove_export(self.volume_id))
        self.assertEqual([(BOB['initiator'], 1, other)], self.seen()[1])

    def test_an_export_that_cannot_be_made_nor_withdrawn(self):
        volume_id, _device = self.volume()
        self.broken('ensure_export', 'drop_export')
        with self.assertRaises(exception.PrivilegedError) as caught:
            self.service.create_export(volume_id)
        self.assertEqual(GONE.args, caught.exception.args)
        self.broken()
        self.service.create_export(volume_id)
        self.assertTrue(self.service.remove_export(volume_id))
        self.assertEqual([self.volume_id], self.seen()[0])

    def test_a_mapping_that_cannot_be_protected_again(self):
        connecting.connect(self.service, self.volume_id, ALICE,
                                           read_only=True)
        self.reachable = ()
        calls = []

        def on_change(verb):
            calls.append(verb)
            if calls.count('before ensure_mapping') == 2:
                raise GONE
        self.target.on_change = on_change
        with self.assertRaises(exception.TargetNotDiscovered):
            connecting.connect(self.service, self.volume_id, ALICE)
        self.broken()
        self.restart()
        placed, = self.journal.mappings()
        self.assertTrue(placed.mapping.read_only)

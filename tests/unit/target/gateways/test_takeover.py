# SPDX-License-Identifier: Apache-2.0
"""The state machine's own rules, as far as the models do not show them."""

import unittest

from mydriver.target.gateways import lease, takeover
from mydriver.target.gateways.lease import Found
from mydriver.target.gateways.record import Client, OwnershipRecord
from mydriver.target.gateways.steps import DONE, PLAN, Kind, Outcome, Result

TIMING = lease.Timing()
OLD = Client('10.68.0.11', 1)
NEW = Client('10.68.0.12', 2)
OWNED = Found.of(OwnershipRecord(1, 'gw1', (OLD,), released=False))
FAILED = Outcome(Result.FAILED, reason='no')
CLIENT = Outcome(Result.DONE, clients=frozenset({NEW}))
OUTCOMES = {Kind.READ: Outcome(Result.DONE, found=OWNED),
            Kind.CONNECT: CLIENT, Kind.MAP: CLIENT}


class TakeoverTest(unittest.TestCase):
    """One gateway, led through its steps."""

    def setUp(self):
        super().setUp()
        self.now_s = 100.0
        self.kinds = []
        self.state = takeover.start('gw2', 'run')

    def go(self, until=Kind.SERVE, is_wanted=True, **outcomes):
        """Take steps until one is next; return that step."""
        for _ in range(40):
            self.state = takeover.decide(self.state, self.now_s, is_wanted)
            step = takeover.step(self.state)
            self.kinds.append(step.kind)
            if step.kind is until:
                return step
            usual = OUTCOMES.get(step.kind, DONE)
            if step.kind in (Kind.TAKE_ADDRESS, Kind.EXTEND_ADDRESS):
                usual = Outcome(Result.DONE, until_s=step.until_s)
            outcome = outcomes.get(step.kind.name, usual)
            self.state = takeover.after(self.state, outcome, self.now_s,
                                        self.now_s, TIMING)
        raise AssertionError(f'{until} did not come: {self.kinds}')

    def test_order(self):
        self.go()
        self.assertEqual(
            [Kind.DROP_ADDRESS, Kind.DISABLE_PORTALS, Kind.WITHDRAW,
             Kind.UNMAP, Kind.DISCONNECT, Kind.ACQUIRE, Kind.READ,
             Kind.CONNECT, Kind.RECORD, Kind.FENCE, Kind.MAP,
             Kind.FENCE_AGAIN, Kind.APPLY, Kind.TAKE_ADDRESS, Kind.ANNOUNCE],
            self.kinds[:15])
        self.assertTrue(self.state.is_serving)

    def test_payloads(self):
        written = self.go(Kind.RECORD)
        self.assertEqual((OWNED.record.taken('gw2', NEW), OWNED), written.its)
        self.assertEqual((OLD,), self.go(Kind.FENCE).clients)
        self.assertEqual(NEW, self.go(Kind.MAP).client)
        self.assertEqual((OLD,), self.go(Kind.FENCE_AGAIN).clients)
        self.assertEqual(105.0, self.go(Kind.TAKE_ADDRESS).until_s)

    def test_planned_move_ends_released(self):
        self.go()
        self.kinds = []
        released = self.go(Kind.RELEASE, is_wanted=False)
        self.assertEqual([*PLAN.let_go[:6]], self.kinds[:6])
        its = released.its[0]
        self.assertTrue(its.released)
        self.assertEqual((OLD,), its.fence)
        self.assertTrue(takeover.wants_renewal(self.state, 100.0, 60.0))
        self.go(Kind.STAND_BY, is_wanted=False)
        self.assertIsNone(self.state.term)

    def test_failed_fence_gives_the_lease_up(self):
        self.go(Kind.UNLOCK, FENCE=FAILED)
        self.assertNotIn(Kind.MAP, self.kinds)
        self.assertIn('fence', self.state.reason)

    def test_any_failure_gives_everything_up(self):
        for kind in PLAN.take_over[:-1]:
            if kind is Kind.ANNOUNCE:
                continue
            self.setUp()
            self.go(Kind.UNLOCK, **{kind.name: FAILED})
            self.assertNotIn(Kind.SERVE, self.kinds, kind)
            self.assertEqual(Kind.DISCONNECT, self.kinds[-2]
                             if kind in PLAN.take_over[:3]
                             else self.kinds[-3], kind)

    def test_addresses_without_a_lifetime_are_dropped(self):
        self.go(Kind.UNLOCK, TAKE_ADDRESS=DONE)
        self.assertIn(Kind.DROP_ADDRESS, self.kinds)

    def test_serving_without_announcement(self):
        self.go(ANNOUNCE=FAILED)

    def test_only_its_own_record_is_released(self):
        # The record that it read may be of an earlier run of its own, whose
        # writes may still be on their way.
        mine = Found.of(OwnershipRecord(1, 'gw2', (OLD,), released=False))
        self.go(Kind.UNLOCK, READ=Outcome(Result.DONE, found=mine),
                RECORD=FAILED)
        self.assertNotIn(Kind.RELEASE, self.kinds)

    def test_nothing_is_released_after_a_forced_unmap(self):
        self.go()
        forced = Outcome(Result.DONE, was_forced=True)
        self.kinds = []
        self.go(Kind.UNLOCK, is_wanted=False, UNMAP=forced)
        self.assertNotIn(Kind.RELEASE, self.kinds)

    def test_nothing_is_released_when_fenced(self):
        self.go()
        self.state = takeover.decide(self.state, self.now_s, is_fenced=True)
        self.kinds = []
        self.go(Kind.UNLOCK)
        self.assertNotIn(Kind.RELEASE, self.kinds)
        self.assertIsNone(self.state.client)

    def test_used_client_is_refused(self):
        self.go(Kind.UNLOCK, CONNECT=Outcome(
            Result.DONE, clients=frozenset({OLD})))
        self.assertNotIn(Kind.RECORD, self.kinds)

    def test_images_of_another_client_are_not_exported(self):
        self.go(Kind.UNLOCK, MAP=Outcome(
            Result.DONE, clients=frozenset({NEW, Client('10.68.0.12', 3)})))
        self.assertNotIn(Kind.APPLY, self.kinds)

    def test_what_is_still_there_is_removed_before_anything_else(self):
        self.state = takeover.decide(self.state, self.now_s)
        for _ in range(3):
            self.state = takeover.after(self.state, FAILED, 0, 0, TIMING)
            self.assertEqual(Kind.DROP_ADDRESS, self.state.doing)

    def test_lease_of_a_request_without_an_answer_is_not_used(self):
        cookie = self.go(Kind.ACQUIRE).cookie
        self.state = takeover.after(self.state, FAILED, 0, 0, TIMING)
        self.assertNotEqual(cookie, self.go(Kind.ACQUIRE).cookie)

    def test_refused_request_may_be_repeated(self):
        cookie = self.go(Kind.ACQUIRE).cookie
        self.state = takeover.after(
            self.state, Outcome(Result.REFUSED), 0, 0, TIMING)
        self.assertEqual(cookie, self.go(Kind.ACQUIRE).cookie)

    def test_lease_ends(self):
        self.go()
        self.now_s = 104.9
        self.go()
        self.now_s = 105.0
        self.assertEqual(Kind.DROP_ADDRESS, self.go(Kind.DROP_ADDRESS).kind)
        self.assertFalse(takeover.wants_renewal(self.state, 105.0, 60.0))

    def test_renewal_extends_the_addresses(self):
        self.go()
        self.assertTrue(takeover.wants_renewal(self.state, 101.0, 60.0))
        self.state = takeover.renewed(self.state, self.state.cookie, 101.0,
                                      TIMING)
        self.assertEqual(106.0, self.go(Kind.EXTEND_ADDRESS).until_s)
        self.state = takeover.after(
            self.state, Outcome(Result.DONE, until_s=106.0), 101.0, 101.0,
            TIMING)
        self.go()

    def test_older_renewal_shortens_nothing(self):
        self.go()
        before = self.state
        self.assertEqual(before, takeover.renewed(
            before, before.cookie, 99.0, TIMING))
        self.assertEqual(before, takeover.renewed(
            before, 'another', 200.0, TIMING))
        self.assertEqual(before, takeover.lost(before, 'another'))

    def test_refused_renewal_ends_the_lease(self):
        self.go()
        self.state = takeover.lost(self.state, self.state.cookie)
        self.go(Kind.DROP_ADDRESS)

    def test_no_renewal_for_a_step_that_hangs(self):
        self.go(Kind.MAP)
        self.state = takeover.renewed(self.state, self.state.cookie, 190.0,
                                      TIMING)
        self.assertTrue(takeover.wants_renewal(self.state, 159.0, 60.0))
        self.assertFalse(takeover.wants_renewal(self.state, 161.0, 60.0))

    def test_standing_by_when_not_wanted(self):
        self.go(Kind.STAND_BY, is_wanted=False)
        self.go(Kind.STAND_BY, is_wanted=False)
        self.go(Kind.ACQUIRE)


class TermTest(unittest.TestCase):
    """What a gateway may rely on."""

    def test_times_that_do_not_work(self):
        for times in ((6, 0, 1), (6, 1, 5), (6, 6, 1), (6, 1, 0), (0, 1, 1)):
            with self.assertRaises(ValueError, msg=times):
                lease.Timing(*times)

    def test_clock_goes_on(self):
        self.assertLessEqual(lease.now_s(), lease.now_s())

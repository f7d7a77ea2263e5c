# SPDX-License-Identifier: Apache-2.0
"""Lease, fence and takeover, checked exhaustively.

The models drive the driver's own state machine through every order of events
within their limits. Each test of a change shows what that part is for: with
the change, a promise is broken.
"""

import dataclasses
import unittest
from unittest import mock

from mydriver.target.gateways import lease
from mydriver.target.gateways.record import OwnershipRecord
from mydriver.target.gateways.steps import DONE, PLAN, Kind
from tests.fakes.gateways import clock, perform, process, search
from tests.fakes.gateways.storage import Storage
from tests.fakes.gateways.world import Limits

UNFENCED = 'it maps while another client can still write'
LOST = 'an acknowledged write was lost'
TWO_WRITE = 'two can write'
TWO_ADDRESSES = 'two have the addresses'


def after(kind, other, plan=PLAN):
    """Return a plan that does a step of the takeover after another one."""
    order = [k for k in plan.take_over if k is not kind]
    order.insert(order.index(other) + 1, kind)
    return dataclasses.replace(plan, take_over=tuple(order))


def without(*kinds):
    """Return a plan that leaves steps of the takeover out."""
    return dataclasses.replace(PLAN, take_over=tuple(
        k for k in PLAN.take_over if k not in kinds))


def letting_go(kind, before):
    """Return a plan that lets go in another order."""
    order = [k for k in PLAN.let_go if k is not kind]
    order.insert(order.index(before), kind)
    return dataclasses.replace(PLAN, let_go=tuple(order))


class ModelTest(unittest.TestCase):
    """What the tests of both models share."""

    def assert_holds(self, model):
        """Search everything; return what was seen."""
        report = search.search(model)
        self.assertFalse(report.wrong, str(report))
        return report

    def assert_breaks(self, promise, model):
        """Search until a promise is broken; return the way there."""
        report = search.search(model)
        self.assertEqual(promise, report.wrong, str(report))
        return report.trace


class StorageTest(ModelTest):
    """No acknowledged write is lost, and two never write; without clocks."""

    def test_three_owners_one_after_the_other(self):
        seen = self.assert_holds(Storage(Limits(grants=3))).seen
        for kind in Kind:
            if kind not in (Kind.CONNECT, Kind.DISCONNECT, Kind.SERVE,
                            *process.UNNOTICED):
                self.assertIn(kind.name, seen)
        for label in ('UNMAP by force', 'the lease ends',
                      'the host starts anew', 'the process starts anew',
                      'finds itself fenced, WITHDRAW'):
            self.assertIn(label, seen)

    def test_requests_that_arrive_late(self):
        seen = self.assert_holds(Storage(Limits(lates=1, strangers=1))).seen
        for kind in ('ACQUIRE', 'RECORD', 'FENCE', 'RELEASE', 'UNLOCK'):
            self.assertIn(f'the late {kind} arrives', seen)
        self.assertIn('FENCE finds an entry that is too short', seen)
        self.assertIn('an entry expires after an hour', seen)

    def test_three_gateways(self):
        self.assert_holds(Storage(Limits(gateways=3)))

    def test_entries_that_are_replaced(self):
        self.assert_holds(Storage(Limits(), replaces=True))


class StorageChangedTest(ModelTest):
    """What each step is for."""

    def test_fence_after_map(self):
        late = after(Kind.FENCE, Kind.MAP)
        self.assert_breaks(UNFENCED, Storage(Limits(), late))
        # The kernel enters the last owner for an hour when it breaks the
        # lock. The fence then changes nothing, and after the hour the write
        # that was on its way arrives.
        way = self.assert_breaks(LOST, Storage(
            Limits(), late, verifies=False, writes_alone=True))
        self.assertIn('an entry expires after an hour', way)

    def test_no_fence(self):
        bare = without(Kind.FENCE, Kind.FENCE_AGAIN)
        self.assert_breaks(UNFENCED, Storage(Limits(), bare))
        self.assert_breaks(LOST, Storage(Limits(), bare, writes_alone=True))

    def test_only_the_last_owner_is_fenced(self):
        def taken(its, owner, client):
            return OwnershipRecord(its.epoch + 1, owner, (client,),
                                   its.clients, released=False)

        with mock.patch.object(OwnershipRecord, 'taken', taken):
            self.assert_breaks(UNFENCED, Storage(Limits(grants=3)))
            self.assert_breaks(LOST, Storage(
                Limits(grants=3, writes=2), writes_alone=True))

    def test_recorded_after_map(self):
        self.assert_breaks(UNFENCED, Storage(
            Limits(), after(Kind.RECORD, Kind.MAP)))

    def test_too_short_a_fence(self):
        way = self.assert_breaks(LOST, Storage(
            Limits(strangers=1), verifies=False, writes_alone=True))
        self.assertIn('somebody else breaks the lock', way)

    def test_no_second_fence(self):
        # Needed where a new entry replaces the one that is there.
        once = without(Kind.FENCE_AGAIN)
        self.assert_breaks(TWO_WRITE, Storage(Limits(), once, replaces=True))
        self.assert_breaks(LOST, Storage(
            Limits(), once, replaces=True, writes_alone=True))
        self.assert_holds(Storage(Limits(), once))

    def test_released_before_unmap(self):
        early = letting_go(Kind.RELEASE, Kind.UNMAP)
        self.assert_breaks(UNFENCED, Storage(Limits(), early))
        self.assert_breaks(LOST, Storage(Limits(), early, writes_alone=True))

    def test_released_after_unmap_by_force(self):
        with mock.patch.object(perform, 'FORCED', DONE):
            self.assert_breaks(LOST, Storage(Limits(), writes_alone=True))


class ClockTest(ModelTest):
    """Two gateways never have the addresses at the same time."""

    def test_lease_and_addresses(self):
        seen = self.assert_holds(clock.Clock()).seen
        for label in ('the renewal is answered', 'EXTEND_ADDRESS begins',
                      'the request times out', 'UNLOCK',
                      'the process starts anew'):
            self.assertIn(label, seen)

    def test_lease_counted_from_the_reply(self):
        self.assert_breaks(TWO_ADDRESSES,
                           clock.Clock(counts_from_reply=True))

    def test_addresses_kept_past_the_lease(self):
        timing = dataclasses.replace(clock.TIMING)
        object.__setattr__(timing, 'margin_s', -1.0)
        self.assert_breaks(TWO_ADDRESSES, clock.Clock(timing=timing))

    def test_addresses_without_a_lifetime(self):
        self.assert_breaks(TWO_ADDRESSES, clock.Clock(has_lifetime=False))

    def test_addresses_dropped_last(self):
        self.assert_breaks(TWO_ADDRESSES, clock.Clock(
            plan=letting_go(Kind.DROP_ADDRESS, Kind.STAND_BY)))

    def test_a_margin_is_required(self):
        with self.assertRaises(ValueError):
            lease.Timing(duration_s=3.0, margin_s=-1.0)


class SearchTest(ModelTest):
    """The search itself."""

    def test_too_many_states_prove_nothing(self):
        with self.assertRaises(OverflowError):
            search.search(Storage(Limits()), most=1000)

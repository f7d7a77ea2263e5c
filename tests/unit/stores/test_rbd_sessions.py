# SPDX-License-Identifier: Apache-2.0
"""Sessions and intents of several services, without a cluster.

With a real one, and services that die:
tests/functional/ceph/test_crash_shared_rbd.
"""

import unittest
from unittest import mock

from mydriver import exception
from mydriver.ceph import clients, omap
from mydriver.stores.rbd import intents, keeper, sessions, settling
from tests.fakes import omap as fakes

NAME = 'volume-11111111-2222-4333-8444-555555555555'


class Service:
    """What one service has of a pool."""

    def __init__(self, name, nonce):
        self.io = object()
        self.client = clients.Client('192.0.2.1', nonce)
        self.sessions = sessions.Sessions(lambda io: self.client)
        self.sessions.service = name
        self.intents = intents.Intents(self.sessions)

class SessionCase(unittest.TestCase):
    """Two services on one pool in memory."""

    def setUp(self):
        super().setUp()
        self.objects = fakes.FakeObjects()
        patch = mock.patch.object(omap, 'within', return_value=self.objects)
        patch.start()
        self.addCleanup(patch.stop)
        self.now_s = 100.0
        clock = mock.patch.object(sessions.time, 'monotonic', self.clock)
        clock.start()
        self.addCleanup(clock.stop)
        # Each is a process of its own.
        ours = mock.patch.object(
            sessions.Sessions, 'is_ours',
            lambda its, token: its.is_mine(token))
        ours.start()
        self.addCleanup(ours.stop)
        self.one, self.two = Service('a@ceph', 1), Service('b@ceph', 2)

    def clock(self):
        """Return the time."""
        return self.now_s

    def looks(self, number, alive=False):
        """Let the second service look; return what it finds over last."""
        over = []
        for _ in range(number):
            self.now_s += sessions.BEAT_S
            if alive:
                self.one.sessions.beat(self.one.io)
            over = self.two.sessions.look(self.two.io)
        return over


class SessionTest(SessionCase):
    """Who is over, and what that means."""

    def test_silence_is_counted_in_looks(self):
        token = self.one.sessions.token(self.one.io)
        self.assertEqual(token, self.one.sessions.token(self.one.io))
        self.assertEqual([], self.looks(20, alive=True))
        self.assertEqual([], self.looks(sessions.MOST_MISSED - 1))
        self.assertEqual([token], [s.token for s in self.looks(1)])

    def test_a_late_look_starts_anew(self):
        self.one.sessions.token(self.one.io)
        self.looks(sessions.MOST_MISSED)
        self.now_s += 60
        self.assertEqual([], self.looks(sessions.MOST_MISSED - 1))
        self.assertEqual([], self.two.sessions.live(self.two.io)[1:])

    def test_one_that_goes_on_is_not_ended(self):
        self.one.sessions.token(self.one.io)
        over, = self.looks(sessions.MOST_MISSED + 1)
        self.one.sessions.beat(self.one.io)
        self.assertFalse(self.two.sessions.end(self.two.io, over))
        self.assertEqual([], self.two.sessions.ended(self.two.io))

    def test_an_ended_one_begins_no_intent_and_gets_another_session(self):
        token = self.one.sessions.token(self.one.io)
        over, = self.looks(sessions.MOST_MISSED + 1)
        self.assertTrue(self.two.sessions.end(self.two.io, over))
        self.assertFalse(self.two.sessions.end(self.two.io, over))
        with self.one.intents.held(self.one.io, NAME) as claim:
            self.assertNotEqual(token, claim.intent['owner'])
        ended, = self.two.sessions.ended(self.two.io)
        self.assertEqual((token, 'a@ceph', self.one.client),
                         (ended.token, ended.service, ended.client))
        self.two.sessions.remove(self.two.io, ended)
        self.assertEqual([], self.two.sessions.ended(self.two.io))

    def test_a_beat_notices_the_end(self):
        token = self.one.sessions.token(self.one.io)
        over, = self.looks(sessions.MOST_MISSED + 1)
        self.two.sessions.end(self.two.io, over)
        self.one.sessions.beat(self.one.io)
        self.assertNotEqual(token, self.one.sessions.token(self.one.io))

    def test_a_new_connection_has_a_new_session(self):
        token = self.one.sessions.token(self.one.io)
        self.one.io = object()
        self.assertNotEqual(token, self.one.sessions.token(self.one.io))
        self.assertTrue(self.one.sessions.is_mine(token))

    def test_more_than_one_read_returns(self):
        self.objects.most_keys = 2
        tokens = {Service(f'{number}@ceph', number).sessions.token(object())
                  for number in range(1, 8)}
        self.assertEqual(tokens, {
            s.token for s in self.two.sessions.live(self.two.io)})
        self.assertEqual(7, len(self.two.sessions.clients(self.two.io)))

    def test_a_damaged_record_is_an_error(self):
        for text in ('', '{}', 'x', '{"service": 1, "client": "1.2.3.4:0/1"}',
                     '{"service": "", "client": "1.2.3.4:0/0"}'):
            self.objects.content = {sessions.OBJECT: {'session/x': text}}
            with self.assertRaisesRegex(exception.StoreError, 'damaged'):
                self.two.sessions.look(self.two.io)


class IntentTest(SessionCase):
    """One operation at a time on a name, among all services."""

    def test_a_name_has_one_intent(self):
        with self.one.intents.held(self.one.io, NAME) as claim:
            for service in (self.one, self.two):
                with self.assertRaisesRegex(
                        exception.StoreError, 'under way'), (
                        service.intents.held(service.io, NAME)):
                    self.fail('two at once')
            claim.record(intents.MAKE, source='x')
            found = intents.find(self.two.io, NAME)
            self.assertEqual(claim.intent, found)
            self.assertFalse(self.two.intents.is_left(NAME, found))
            self.assertFalse(self.one.intents.is_left(NAME, found))
        self.assertEqual({}, intents.everything(self.one.io))

    def test_what_was_recorded_stays_after_an_error(self):
        with self.assertRaises(ZeroDivisionError), (
                self.one.intents.held(self.one.io, NAME)):
            raise ZeroDivisionError
        self.assertEqual({}, intents.everything(self.one.io))
        with self.assertRaises(ZeroDivisionError), (
                self.one.intents.held(self.one.io, NAME)) as claim:
            claim.record(intents.MAKE)
            raise ZeroDivisionError
        left = intents.find(self.one.io, NAME)
        self.assertTrue(self.one.intents.is_left(NAME, left))
        with self.one.intents.resumed(self.one.io, NAME, left) as mine:
            self.assertEqual(left['owner'], mine['owner'])
            self.assertNotEqual(left, mine)

    def test_who_was_taken_over_changes_nothing(self):
        with self.assertRaisesRegex(exception.StoreError, 'taken it over'), (
                self.one.intents.held(self.one.io, NAME)) as claim:
            claim.record(intents.MAKE)
            with self.two.intents.resumed(
                    self.two.io, NAME, claim.intent) as theirs:
                self.assertEqual('make', theirs['do'])
            claim.record(intents.RENAME, old='x')
        self.assertEqual(theirs, intents.find(self.one.io, NAME))

    def test_one_of_two_takes_over(self):
        with self.assertRaises(ZeroDivisionError), (
                self.one.intents.held(self.one.io, NAME)) as claim:
            claim.record(intents.MAKE)
            raise ZeroDivisionError
        three = Service('c@ceph', 3)
        with self.two.intents.resumed(self.two.io, NAME, claim.intent) as got:
            self.assertIsNotNone(got)
            with three.intents.resumed(three.io, NAME, claim.intent) as none:
                self.assertIsNone(none)

    def test_sessions_are_no_intents(self):
        self.one.sessions.token(self.one.io)
        over, = self.looks(sessions.MOST_MISSED + 1)
        self.two.sessions.token(self.two.io)
        self.two.sessions.end(self.two.io, over)
        self.assertEqual({}, intents.everything(self.two.io))
        self.objects.most_keys = 3
        for number in range(10):
            with self.assertRaises(ZeroDivisionError), (
                    self.two.intents.held(self.two.io, f'{NAME}{number}')
                    ) as claim:
                claim.record(intents.MAKE)
                raise ZeroDivisionError
        self.assertEqual(10, len(intents.everything(self.two.io)))


class OwnerlessTest(SessionCase):
    """At start-up, intents without a session are settled, and only those."""

    def setUp(self):
        super().setUp()
        for what, name in ((keeper.Keeper, 'start'), (settling, 'resume')):
            patch = mock.patch.object(what, name)
            self.addCleanup(patch.stop)
            self.resume = patch.start()
        self.keeper = keeper.Keeper(
            mock.Mock(), self.one.intents, self.one.sessions)

    def settled(self):
        """Start the first service; return the names that it settled."""
        self.keeper.recover(self.one.io)
        return [call.args[3] for call in self.resume.call_args_list]

    def test_of_an_earlier_release(self):
        self.objects.content = {sessions.OBJECT: {NAME: '{"do": "claim"}'}}
        self.assertEqual([NAME], self.settled())

    def test_not_of_a_service_that_begins_meanwhile(self):
        live = self.one.sessions.live

        def look(io):
            found = live(io)
            self.enterContext(self.two.intents.held(self.two.io, NAME))
            self.one.sessions.live = live
            return found

        def look_last(io):
            """Let the other service begin once sessions have been listed."""
            self.one.sessions.live = look
            return []

        with mock.patch.object(self.keeper, '_earlier', look_last):
            self.assertEqual([], self.settled())
        self.assertEqual([NAME], list(intents.everything(self.one.io)))

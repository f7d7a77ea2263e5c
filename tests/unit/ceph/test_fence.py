# SPDX-License-Identifier: Apache-2.0
"""The fence, as far as it needs no Ceph: what it makes of the answers."""

import datetime
import json
import unittest
from unittest import mock

from mydriver import exception
from mydriver.ceph import cluster, fence
from mydriver.target.gateways.record import Client

ONE, TWO = Client('10.68.0.11', 1), Client('2001:db8::1', 2)
LONG = '2036-11-23T10:00:00.000000+0000'
HOUR = '2026-11-26T11:00:00.000000+0000'


class Monitors:
    """The monitors: answers to come, and the commands that were sent."""

    def __init__(self):
        self.entries = {}
        self.sent = []
        self.waited = False
        self.add = lambda addr: self.entries.setdefault(addr, LONG)
        self.refusal = (0, '')

    def mon_command(self, text, _):
        """Answer a command."""
        its = json.loads(text)
        self.sent.append(its)
        if its['prefix'] == 'osd dump':
            return 0, json.dumps({
                'blocklist': self.entries,
                'modified': '2026-11-26T10:00:00.000000+0000'}).encode(), ''
        if not self.refusal[0]:
            self.add(its['addr'])
        return self.refusal[0], b'', self.refusal[1]

    def wait_for_latest_osdmap(self):
        """Note that somebody waits."""
        self.waited = True


class FenceTest(unittest.TestCase):
    """Fencing is done when the list shows it."""

    def setUp(self):
        super().setUp()
        self.monitors = Monitors()
        its = cluster.Cluster(cluster.Settings('volumes'))
        patch = mock.patch.object(
            its, 'handle', return_value=self.monitors)
        patch.start()
        self.addCleanup(patch.stop)
        self.fence = fence.Fence(its)

    def test_added_with_a_time(self):
        self.fence.fence([ONE, TWO])
        added = [s for s in self.monitors.sent
                 if s['prefix'] == 'osd blocklist']
        self.assertEqual(['10.68.0.11:0/1', '[2001:db8::1]:0/2'],
                         sorted(s['addr'] for s in added))
        self.assertEqual({float(fence.FENCE_S)}, {s['expire'] for s in added})
        self.assertTrue(self.monitors.waited)

    def test_not_added_again(self):
        self.monitors.entries = {str(ONE): LONG}
        self.fence.fence([ONE])
        self.assertEqual({'osd dump'},
                         {s['prefix'] for s in self.monitors.sent})

    def test_acknowledged_is_not_done(self):
        self.monitors.add = lambda addr: None
        with self.assertRaises(exception.NotFenced):
            self.fence.fence([ONE])
        self.assertFalse(self.monitors.waited)

    def test_short_is_not_done(self):
        self.monitors.entries = {str(ONE): HOUR}
        with self.assertRaises(exception.FenceTooShort) as caught:
            self.fence.fence([ONE, TWO])
        self.assertIn('2026-11-26 11:00:00 UTC', str(caught.exception))
        self.assertEqual(str(ONE), caught.exception.clients)

    def test_refused(self):
        self.monitors.refusal = -13, 'access denied'
        with self.assertRaises(exception.NotFenced) as caught:
            self.fence.fence([ONE])
        self.assertIn('access denied (-13)', str(caught.exception))

    def test_answers_that_make_no_sense(self):
        for text in ('', 'null', '[]', 'x', '{}', '{"blocklist": 7}',
                     '{"blocklist": {}, "modified": 7}',
                     '{"blocklist": {"10.1.1.1:0/7": 0}, "modified": "x"}'):
            self.monitors.mon_command = lambda *_, text=text: (
                0, text.encode(), '')
            with self.assertRaises(exception.CephError, msg=text):
                self.fence.fence([ONE])

    def test_entries_of_others(self):
        self.monitors.entries = {'10.68.0.11:0/0': LONG, 'x': LONG,
                                 '10.68.0.11:6789/1': LONG, str(ONE): HOUR}
        found = self.fence.read()
        self.assertEqual({ONE}, set(found.entries))
        self.assertEqual(3600.0, found.remaining_s(ONE))
        self.assertIsNone(found.remaining_s(TWO))
        self.assertEqual(datetime.UTC, found.modified.tzinfo)

    def test_what_is_mapped_is_not_lifted(self):
        with self.assertRaises(exception.NotFenced):
            self.fence.lift(ONE, {ONE})
        self.assertEqual([], self.monitors.sent)


class WithoutCephTest(unittest.TestCase):
    """A gateway without a Ceph says what is missing."""

    def test_no_configuration(self):
        its = cluster.Cluster(cluster.Settings('volumes', conf='/nonexistent'))
        with self.assertRaises(exception.ConfigurationError):
            fence.Fence(its).fence([ONE])

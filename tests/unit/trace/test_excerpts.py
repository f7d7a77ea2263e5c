# SPDX-License-Identifier: Apache-2.0
"""Excerpts of the logs of a real cloud.

They are of OpenStack 2026.2 with this driver, one directory for each request.
Addresses, paths and identities were replaced, most lines at DEBUG and the
frames of tracebacks removed, and lines of other requests left in between.
``events`` and ``unreachable`` were written by Nova's code and ours on the fake
host of ``tests/fakes/initiator.py``, at INFO.
"""

from pathlib import Path
import unittest

from mydriver.trace import logs, render_html, render_text, search, steps, trace

LOGS = Path(__file__).parent / 'logs'


def traced(name, subject, kind=''):
    """Return the trace of a request in an excerpt."""
    return trace.of(logs.Logs([str(LOGS / name)]), subject, kind)


class AttachTest(unittest.TestCase):
    """The first attach on a host, which starts its daemons."""

    REQUEST = 'req-b23998ec-6613-462b-bb94-09b9fdb01bae'
    VOLUME = '4cc65502-d249-4d54-aa76-8eb49c193650'
    SERVER = 'cb4f28fb-1fd0-4d80-9bab-485af045638f'

    def test_by_any_identifier(self):
        cinders = 'req-f4f214c8-a87c-4144-afa6-18549ca30f02'
        for subject in (self.REQUEST, cinders, self.VOLUME, self.SERVER):
            found = traced('attach', subject)
            self.assertEqual((self.REQUEST, search.ATTACH, steps.OK), (
                found.flow.key, found.flow.kind, found.outcome), subject)
            self.assertEqual({self.VOLUME}, found.flow.volumes)

    def test_the_flow_by_name(self):
        found = traced('attach', self.REQUEST)
        names = [(s.source.service, s.name) for s in found.steps]
        flow = [
            ('nova-api', 'attach request'),
            ('nova-compute', 'reserve_block_device_name'),
            ('cinder-api', 'attachment_create'),
            ('nova-compute', 'attach_volume (manager)'),
            ('nova-compute', 'get_volume_connector'),
            ('cinder-api', 'attachment_update'),
            ('cinder-volume', 'create_export'),
            ('cinder-volume', 'initialize_connection'),
            ('nova-compute', 'connect_volume'),
            ('nova-compute', 'attach_device'),
            ('cinder-api', 'attachment_complete')]
        self.assertEqual(flow, [n for n in names if n in flow])

    def test_where_the_time_went(self):
        found = traced('attach', self.REQUEST)
        total = found.end - found.start
        self.assertAlmostEqual(16.335, total, places=3)
        self.assertAlmostEqual(total, sum(s.seconds for s in found.shares))
        self.assertEqual(
            ['start of daemon mydriver.privileged.initiator_context',
             'start of daemon os_brick.privileged.default'],
            [s.name for s in found.shares[:2]])
        durations = {s.name: round(s.duration, 3) for s in found.steps
                     if s.source.service != 'cinder-api'}
        for name, seconds in (
                ('attach request', 0.308), ('get_volume_connector', 4.936),
                ('create_export', 1.017), ('connect_volume', 5.443),
                ('attach_device', 0.776), ('attach_volume (manager)', 16.062)):
            self.assertAlmostEqual(seconds, durations[name], places=2,
                                   msg=name)

    def test_a_clock_that_was_behind(self):
        offset, = traced('attach', self.REQUEST).offsets
        self.assertEqual(('cinder-api', 'cinder-volume'),
                         (offset.ahead, offset.behind))
        self.assertAlmostEqual(0.024, offset.seconds, places=3)

    def test_of_other_requests_nothing_is_shown(self):
        found = traced('attach', self.REQUEST)
        self.assertEqual({self.REQUEST},
                         {line.flow for line in found.lines if line.flow})
        for shown in (render_text.render(found), render_html.render(found)):
            self.assertNotIn('Get console output', shown)


class DetachTest(unittest.TestCase):
    """A detach from a guest that was slow to let go."""

    REQUEST = 'req-ea849ceb-ce04-4f5a-a504-673b67b1db10'

    def test_the_flow_by_name(self):
        found = traced('detach', self.REQUEST)
        self.assertEqual((search.DETACH, steps.OK),
                         (found.flow.kind, found.outcome))
        names = [(s.source.service, s.name) for s in found.steps]
        flow = [
            ('nova-api', 'detach request'),
            ('nova-compute', 'detach_volume (manager)'),
            ('nova-compute', 'detach_device'),
            ('nova-compute', 'disconnect_volume'),
            ('cinder-api', 'attachment_delete'),
            ('cinder-volume', 'terminate_connection'),
            ('cinder-volume', 'remove_export')]
        self.assertEqual(flow, [n for n in names if n in flow])

    def test_where_the_time_went(self):
        longest = traced('detach', self.REQUEST).shares[0]
        self.assertEqual('detach_device', longest.name)
        self.assertAlmostEqual(15.515, longest.seconds, delta=0.05)


class BootTest(unittest.TestCase):
    """A boot from a volume, with two other requests on the same host."""

    REQUEST = 'req-079cbd8a-09be-4231-a275-18d799a7d687'
    SERVER = '51e5eae7-8523-47c5-a579-cf534bb4fec0'

    def test_the_flow_by_name(self):
        found = traced('boot', self.SERVER)
        self.assertEqual((self.REQUEST, search.BOOT, steps.OK), (
            found.flow.key, found.flow.kind, found.outcome))
        names = [(s.source.service, s.name) for s in found.steps]
        flow = [
            ('nova-api', 'boot request'),
            ('cinder-api', 'attachment_create'),
            ('nova-compute', 'build instance'),
            ('nova-compute', 'get_volume_connector'),
            ('cinder-api', 'attachment_update'),
            ('cinder-volume', 'create_export'),
            ('cinder-volume', 'initialize_connection'),
            ('cinder-api', 'attachment_complete'),
            ('nova-compute', 'spawn instance'),
            ('nova-compute', 'connect_volume')]
        self.assertEqual(flow, [n for n in names if n in flow])

    def test_lines_of_another_server_under_its_name(self):
        found = traced('boot', self.REQUEST)
        self.assertAlmostEqual(65.09, found.end - found.start, delta=0.1)
        self.assertIn('One more line names this request', found.notes[-1])
        self.assertNotIn('Lifecycle', render_html.render(found))


class KilledTest(unittest.TestCase):
    """A detach during which cinder-volume was killed."""

    REQUEST = 'req-070f19a7-290d-49e8-867f-9fff352ba0e6'

    def setUp(self):
        super().setUp()
        self.found = traced('killed', self.REQUEST)

    def test_the_first_cause(self):
        reason = self.found.cause
        self.assertEqual(
            ('cinder-api', 'attachment_delete', 'MessagingTimeout'),
            (reason.source, reason.step, reason.error))
        self.assertRegex(reason.hint, (
            r'Its last line of this request is of 2026-11-27 01:07:15\.\d+: '
            'cinder-volume-storage2: .* acquired by "remove_export"'))

    def test_the_step_that_never_ended(self):
        unended = [s for s in self.found.steps
                   if s.outcome == steps.UNKNOWN and s.error]
        self.assertEqual([('cinder-volume-storage2', 'remove_export')],
                         [(s.source.name, s.name) for s in unended])

    def test_what_the_api_answered(self):
        request, = (s for s in self.found.steps
                    if s.name == 'attachment_delete')
        self.assertEqual('HTTP 500', request.error)
        self.assertAlmostEqual(60.033, request.duration, places=2)

    def test_the_services_that_have_no_line(self):
        text = render_text.render(self.found)
        self.assertIn('Note: The log of nova-compute was not read', text)


class EventsTest(unittest.TestCase):
    """An attach at INFO: the plugin's events show its steps."""

    REQUEST = 'req-5b0d6c1e-93f5-4a27-9f6b-1c5f0f2d7e10'

    def test_the_flow_by_name(self):
        found = traced('events', self.REQUEST)
        self.assertEqual(steps.OK, found.outcome)
        self.assertEqual(
            ['get_volume_connector', 'attach_volume', 'connect_volume',
             'connect_volume: login', 'connect_volume: scan',
             'connect_volume: prove', 'attach_device'],
            [s.name for s in found.steps])


class UnreachableTest(unittest.TestCase):
    """An attach on a host that reaches no portal."""

    REQUEST = 'req-5b0d6c1e-93f5-4a27-9f6b-1c5f0f2d7e10'

    def test_the_first_cause(self):
        found = traced('unreachable', self.REQUEST)
        self.assertEqual(
            ('nova-compute', 'connect_volume: login', 'LoginError'),
            (found.cause.source, found.cause.step, found.cause.error))
        self.assertEqual(
            'Login to iqn.2010-10.org.openstack:pool-0 at 192.0.2.1:3260 '
            'failed: the portal does not answer: [Errno 111] Connection '
            'refused.', found.cause.text)

    def test_what_came_of_it(self):
        (log, text), = traced('unreachable', self.REQUEST).consequences
        self.assertEqual('nova-compute', log)
        self.assertIn('Driver failed to attach volume', text)

    def test_the_traceback_belongs_to_its_line(self):
        line = next(r for r in traced('unreachable', self.REQUEST).lines
                    if 'Driver failed' in r.text)
        self.assertEqual('Traceback (most recent call last):', line.more[0])
        self.assertTrue(line.more[-2].startswith(
            'mydriver.exception.LoginError: Login to'), line.more)

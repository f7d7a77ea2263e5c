# SPDX-License-Identifier: Apache-2.0
"""Requests that came to their end, and those that did not."""

import itertools
from pathlib import Path
import re
import tempfile
import unittest

from mydriver.trace import logs, render_html, render_text, trace
from tests.unit.trace import lines

LOGS = Path(__file__).parent / 'logs'
ATTACH = 'req-b23998ec-6613-462b-bb94-09b9fdb01bae'
DETACH = 'req-ea849ceb-ce04-4f5a-a504-673b67b1db10'
BOOT = 'req-079cbd8a-09be-4231-a275-18d799a7d687'
NOVA, CINDER, VOLUME = lines.NOVA, lines.CINDER, lines.VOLUME
MANAGER = 'nova.compute.manager.ComputeManager'


class EndingCase(unittest.TestCase):
    """Traces of a part of the lines of an excerpt, or of written logs."""

    def setUp(self):
        super().setUp()
        self.folder = Path(self.enterContext(tempfile.TemporaryDirectory()))

    def excerpt(self, name, request, keep=lambda line: True, services=None):
        """Return the trace of a request in some lines of some logs."""
        for path in (LOGS / name).iterdir():
            (self.folder / path.name).unlink(missing_ok=True)
            if services is None or path.stem in services:
                (self.folder / path.name).write_text(''.join(
                    line for line in path.read_text().splitlines(True)
                    if keep(line)))
        return self.traced(request)

    def traced(self, request):
        """Return the trace of a request in the logs of the folder."""
        return trace.of(logs.Logs([str(self.folder)]), request)

    def written(self, *written):
        """Return the trace of a request in written logs."""
        for log in written:
            log.write(self.folder)
        return self.traced(NOVA)

    def expect(self, outcome, found, text=''):
        """Check the outcome, and what the headline says."""
        headline = render_text.headline(found)
        self.assertEqual(outcome, found.outcome, headline)
        self.assertTrue(headline.endswith(text), headline)


class CutTest(EndingCase):
    """Logs that stop in the middle of a request."""

    def cut(self, at, name='attach', request=ATTACH, **which):
        """Return the trace in what was logged before a time of the day."""
        return self.excerpt(name, request, lambda line: line[11:] < at,
                            **which)

    def test_an_attach(self):
        for at, text in (
                ('01:28:01.3', 'nova-compute: reserve_block_device_name'),
                ('01:28:05', 'attach_volume (manager) (no end is logged)'),
                ('01:28:08', 'attachment_update (no answer is logged)'),
                ('01:28:09.1', 'connect_volume (no end is logged)'),
                ('01:28:10', 'initiator_context (no end is logged)'),
                ('01:28:15', 'attach_device (no end is logged)'),
                ('01:28:17', 'attach_volume (manager) (no end is logged)')):
            self.expect('unfinished', self.cut(at), text)
        self.expect('ok', self.cut('01:28:18'))

    def test_what_has_no_end_lasts_and_contains(self):
        found = self.cut('01:28:09.3')
        depths = {(s.source.name, s.name): depth
                  for s, depth in render_text.nested(found)}
        daemon = 'start of daemon mydriver.privileged.initiator_context'
        self.assertEqual(
            (0, 1, 1, 2), tuple(depths['nova-compute', name] for name in (
                'attach_volume (manager)', 'get_volume_connector',
                'connect_volume', daemon)))
        text, page = render_text.render(found), render_html.render(found)
        self.assertIn('; - no end is logged)\n', text)
        self.assertRegex(text, r' -{24} +nova-compute  attach_volume \(man')
        self.assertRegex(text, r' #\.{23} +308 ms   nova-api ')
        bar = re.search('x="([0-9.]+)" y="[0-9]+" width="([0-9.]+)" '
                        '[^>]* fill-opacity="0.25"', page)
        self.assertGreater(float(bar[2]), 400)
        self.assertNotIn('no end is logged', render_text.render(
            self.cut('01:28:18')))

    def test_a_detach(self):
        self.expect('unfinished', self.cut('01:31:09', 'detach', DETACH),
                    'disconnect_volume (no end is logged)')

    def test_a_boot(self):
        self.expect('unfinished', self.cut('01:31:08', 'boot', BOOT))

    def test_at_info(self):
        for name, request, at in (('attach', ATTACH, '01:28:10'),
                                  ('detach', DETACH, '01:31:09'),
                                  ('boot', BOOT, '01:31:08')):
            self.expect('unfinished', self.excerpt(
                name, request, lambda line, at=at: (
                    line[11:] < at and ' DEBUG ' not in line)))

    def test_the_outputs(self):
        found = self.cut('01:28:09.1')
        self.assertTrue(render_text.render(found).startswith(
            f'attach unfinished after 7.90 s: {ATTACH}, started 2026-11-27 '
            '01:28:01.164; last step: nova-compute: connect_volume (no end '
            'is logged)\n'))
        self.assertIn('Note: No line shows that the request came to its end',
                      render_text.render(found))
        page = render_html.render(found)
        self.assertIn('<span class="unfinished">unfinished</span> after 7.90',
                      page)
        self.assertIn('Last step: nova-compute: connect_volume', page)
        self.assertEqual(
            ('unfinished', {
                'name': 'connect_volume', 'log': 'nova-compute',
                'start_ms': 7901.8, 'error': 'no end is logged'}),
            tuple(found.to_dict()[key] for key in ('outcome', 'last_step')))


class CompleteTest(EndingCase):
    """Logs that have the end of a request."""

    def test_at_info(self):
        for name, request in (('attach', ATTACH), ('detach', DETACH),
                              ('boot', BOOT)):
            self.expect('ok', self.excerpt(
                name, request, lambda line: ' DEBUG ' not in line))

    def test_some_logs(self):
        services = ('nova-api', 'nova-compute', 'cinder-api', 'cinder-volume')
        for name, request, ends in (
                ('attach', ATTACH, {'nova-compute', 'cinder-api'}),
                ('detach', DETACH, {'nova-compute', 'cinder-api'}),
                ('boot', BOOT, {'nova-compute', 'cinder-api'})):
            for count in range(1, 5):
                for some in itertools.combinations(services, count):
                    if ends & {*some}:
                        self.expect('ok', self.excerpt(
                            name, request, services=some))

    def test_one_log_without_the_end(self):
        for service in ('nova-api', 'cinder-volume'):
            self.expect('unfinished', self.excerpt(
                'attach', ATTACH, services=(service,)))

    def test_what_is_no_attach(self):
        """Nova connects volumes when it reboots a server, Cinder to copy."""
        volume = lines.Log('cinder-volume')
        volume.event(1, 'create_export', NOVA)
        volume.event(2, 'initialize_connection', NOVA)
        self.expect('ok', self.written(volume))
        compute = lines.Log('nova-compute')
        compute.event(3, 'connect_volume', NOVA)
        self.expect('ok', self.written(compute))

    def test_an_attach_of_which_cinder_was_not_told(self):
        compute = lines.Log('nova-compute')
        compute(1, f'Attaching volume {VOLUME} to /dev/vdb', NOVA)
        compute.event(3, 'attach_volume', NOVA, ms=900)
        self.expect('ok', self.written(compute))
        api = lines.cinder_call(lines.Log('cinder-api'), 1.5, 0.5, 'PUT',
                                f'attachments/{VOLUME}')
        self.expect('unfinished', self.written(compute, api),
                    'last step: nova-compute: attach_volume')
        # Another cinder-api may have been told.
        compute(1, f'Lock "x" acquired by "{MANAGER}.attach_volume.<locals>.'
                'do_attach_volume" :: waited 0.000s', NOVA,
                logger='oslo_concurrency.lockutils')
        compute(4, f'Lock "x" "released" by "{MANAGER}.attach_volume.'
                '<locals>.do_attach_volume" :: held 3.000s', NOVA,
                logger='oslo_concurrency.lockutils')
        self.expect('ok', self.written(compute, api))

    def tried_again(self, *, storage_ahead=0.0, complete=True):
        """Return logs of an attach during which cinder-volume was killed."""
        locked = {'logger': 'cinder.coordination'}
        compute = lines.Log('nova-compute')(
            0, f'Attaching volume {VOLUME} to /dev/vdb', NOVA)
        api = lines.cinder_call(
            lines.Log('cinder-api'), 1, 60, 'PUT', f'attachments/{VOLUME}',
            500)
        lines.cinder_call(api, 61.5, 1.5, 'PUT', f'attachments/{VOLUME}',
                          request=lines.OTHER)
        if complete:
            lines.cinder_call(api, 64, 1, 'POST',
                              f'attachments/{VOLUME}/action')
        volume = lines.Log('cinder-volume', storage_ahead)
        volume(2, 'Lock "cinder-mydriver-x" acquired by "create_export" :: '
               'waited 0.001s', CINDER, NOVA, **locked)
        volume(62, 'Lock "cinder-mydriver-x" acquired by "create_export" :: '
               'waited 0.001s', lines.OTHER, NOVA, **locked)
        volume(62.5, 'Lock "cinder-mydriver-x" released by "create_export" '
               ':: held 0.500s', lines.OTHER, NOVA, **locked)
        volume.event(62.8, 'initialize_connection', lines.OTHER, NOVA)
        return compute, api, volume

    def test_a_step_that_was_tried_again(self):
        found = self.written(*self.tried_again())
        self.expect('ok', found)
        begun = next(s for s in found.steps if s.is_open)
        self.assertEqual('create_export', begun.name)
        # Its request was answered before it was tried again.
        self.assertAlmostEqual(59, render_text.until(found, begun)
                               - begun.start, 3)
        self.expect('ok', self.written(*self.tried_again(storage_ahead=100)))

    def test_a_step_that_was_tried_again_in_vain(self):
        found = self.written(*self.tried_again(complete=False))
        self.assertNotEqual('ok', found.outcome)

    def test_a_look_up_without_an_answer(self):
        api = lines.cinder_call(lines.Log('cinder-api'), 1, 1, 'POST',
                                f'attachments/{VOLUME}/action')
        api(0.5, f'GET http://192.0.2.10:8776/v3/volumes/{VOLUME}',
            lines.OTHER, NOVA, logger='cinder.api.openstack.wsgi')
        compute = lines.Log('nova-compute')(
            0, f'Attaching volume {VOLUME} to /dev/vdb', NOVA)
        self.expect('ok', self.written(compute, api))

    def test_a_device_that_is_in_no_live_domain(self):
        compute = lines.Log('nova-compute')
        compute(0, f'Detaching volume {VOLUME}', NOVA)
        compute(1, f'Attempting to driver detach volume {VOLUME} from '
                'mountpoint /dev/vdb', NOVA)
        api = lines.cinder_call(lines.Log('cinder-api'), 2, 1, 'DELETE',
                                f'attachments/{VOLUME}')
        self.expect('ok', self.written(compute, api))

    def test_no_step_at_all(self):
        compute = lines.Log('nova-compute')(
            0, f'Attaching volume {VOLUME} to /dev/vdb', NOVA)
        found = self.written(compute)
        self.assertEqual('unfinished', found.outcome)
        self.assertIsNone(found.to_dict()['last_step'])
        render_html.render(found)

    def test_a_failure_is_no_unfinished_request(self):
        compute = lines.Log('nova-compute')
        compute(0, f'Attaching volume {VOLUME} to /dev/vdb', NOVA)
        compute(1, 'Failed', NOVA, level='ERROR')
        self.expect('failed', self.written(compute))

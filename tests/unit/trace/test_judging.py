# SPDX-License-Identifier: Apache-2.0
"""First causes, clocks, shares of the time, and what is missing."""

import unittest

from mydriver.trace import (
    breakdown,
    cause,
    clocks,
    coverage,
    record,
    render_text,
    search,
)
from tests.unit.trace import lines

NOVA, CINDER, VOLUME = lines.NOVA, lines.CINDER, lines.VOLUME


def first(*logs):
    """Return the first cause in logs."""
    return cause.first(lines.merged(*logs), lines.found(*logs))


class CauseTest(unittest.TestCase):
    """What failed first."""

    def failed_login(self):
        """Return the log of a host that cannot log in."""
        log = lines.Log('nova-compute')
        log(1, f'Attaching volume {VOLUME} to /dev/vdb', NOVA)
        log.event(3, 'connect_volume', NOVA, phase='login', ms=1000,
                  error='LoginError')
        log(3, f'No path to volume {VOLUME} over LUN 1: Login to iqn.x:y at '
            '192.0.2.1:3260 failed: the portal does not answer.', NOVA,
            level='WARNING', logger='mydriver.initiator.attach')
        log.event(3.1, 'connect_volume', NOVA, ms=1200, error='LoginError')
        log(3.2, f'Driver failed to attach volume {VOLUME} at /dev/vdb', NOVA,
            level='ERROR', logger='nova.virt.block_device')
        log.traceback(
            3.2, 'mydriver.exception.LoginError: Login to iqn.x:y failed: why',
            logger='nova.virt.block_device')
        return log

    def test_a_phase_of_the_plugin_and_the_text_of_its_error(self):
        found = first(self.failed_login())
        self.assertEqual(
            ('nova-compute', 'connect_volume: login', 'LoginError',
             'Login to iqn.x:y failed: why'),
            (found.source, found.step, found.error, found.text))

    def test_its_warning_where_there_is_no_traceback(self):
        log = self.failed_login()
        log.lines = log.lines[:4]
        found = first(log)
        self.assertIn('the portal does not answer', found.text)
        self.assertEqual('LoginError', found.error)

    def test_what_came_of_it(self):
        log = self.failed_login()
        api = lines.Log('nova-api')(4, 'Unexpected API Error.', NOVA,
                                    level='ERROR')
        records = lines.merged(log, api)
        reason = cause.first(records, lines.found(log, api))
        self.assertEqual(['nova-compute', 'nova-api'], [
            log for log, _ in cause.consequences(records, reason)])

    def test_a_text_that_is_logged_after_a_long_clean_up(self):
        log = lines.Log('nova-compute')
        log.event(3, 'connect_volume', NOVA, phase='login', ms=1000,
                  error='LoginError')
        log.event(3.1, 'connect_volume', NOVA, ms=1200, error='LoginError')
        text = 'Login to iqn.x:y failed: why'
        line = (f'Failed to attach {VOLUME} at /dev/vdb: '
                f'mydriver.exception.LoginError: {text}')
        log(17, line, NOVA, level='ERROR')
        log.traceback(17, f'mydriver.exception.LoginError: {text}')
        records = lines.merged(log)
        found = cause.first(records, lines.found(log))
        self.assertEqual(text, found.text)
        self.assertEqual(
            [('nova-compute', line.replace(text, '...'))],
            cause.consequences(records, found))

    def test_an_error_of_a_package_by_any_name(self):
        log = lines.Log('cinder-volume')
        log.event(3, 'initialize_connection', CINDER, NOVA,
                  error='TargetNotDiscovered')
        log(3, 'Driver initialize connection failed (error: ...)', CINDER,
            NOVA, level='ERROR')
        log.traceback(
            3, 'mydriver.exception.TargetNotDiscovered: No portal offers it',
            '', 'The above exception was the direct cause of the following '
            'exception:', '', 'Traceback (most recent call last):',
            'cinder.exception.VolumeDriverException: Volume driver reported')
        self.assertEqual('No portal offers it', first(log).text)

    def test_the_first_error_in_a_chain(self):
        log = lines.Log('cinder-volume')
        log(1, 'Exception during message handling', CINDER, NOVA,
            level='ERROR', logger='oslo_messaging.rpc.server')
        log.traceback(
            1, 'mydriver.exception.StoreFull: /srv has 0 bytes free',
            '', 'The above exception was the direct cause of the following '
            'exception:', '', 'Traceback (most recent call last):',
            'cinder.exception.VolumeDriverException: /srv has 0 bytes',
            logger='oslo_messaging.rpc.server')
        found = first(log)
        self.assertEqual(('StoreFull', '/srv has 0 bytes free'),
                         (found.error, found.text))

    def test_the_service_that_failed_first(self):
        volume = lines.Log('cinder-volume')(
            1, 'Create export for volume failed', CINDER, NOVA, level='ERROR',
            logger='cinder.volume.manager')
        compute = lines.Log('nova-compute')(
            2, 'Update attachment failed', NOVA, level='ERROR')
        self.assertEqual('cinder-volume', first(volume, compute).source)

    def test_a_refusal_that_nothing_explains(self):
        log = lines.cinder_call(lines.Log('cinder-api'), 1, 1, 'POST',
                                'attachments', 400)
        found = first(log)
        self.assertEqual(('attachment_create', 'HTTP 400'),
                         (found.step, found.error))

    def refused_update(self, ahead_s, *, with_api=True, named=''):
        """Return logs of an update that cinder-volume fails to do."""
        volume = lines.Log('cinder-volume', ahead_s)
        volume.event(10.2, 'create_export', CINDER, NOVA)
        volume.event(10.5, 'initialize_connection', CINDER, NOVA,
                     error='StoreFull')
        volume(10.5, 'Driver initialize connection failed', CINDER, NOVA,
               level='ERROR', logger='cinder.volume.manager')
        volume.traceback(10.5, 'mydriver.exception.StoreFull: 0 bytes free',
                         logger='cinder.volume.manager')
        api = lines.cinder_call(lines.Log('cinder-api'), 10, 0.6, 'PUT',
                                f'attachments/{VOLUME}', 500)
        api(10.59, 'Unable to update attachment.', CINDER, NOVA,
            level='ERROR', logger='cinder.api.v3.attachments')
        api.traceback(10.59, 'cinder.exception_Remote.VolumeDriverException'
                      '_Remote: 0 bytes', logger='cinder.api.v3.attachments')
        compute = lines.Log('nova-compute')
        text = f'Unable to update attachment. (HTTP 500){named}'
        compute(10.7, f'Update attachment failed for {VOLUME}. Error: {text}',
                NOVA, level='ERROR', logger='nova.volume.cinder')
        compute(10.8, 'Failed to attach', NOVA, level='ERROR')
        compute.traceback(
            10.8, f'cinderclient.exceptions.ClientException: {text}')
        compute(10.9, 'Exception during message handling', NOVA,
                level='ERROR', logger='oslo_messaging.rpc.server')
        return [volume, *([api] if with_api else []), compute]

    def test_a_clock_of_the_storage_host_that_is_ahead(self):
        for ahead_s in (-5, 0, 0.05, 0.15, 0.7, 1, 5, 3600):
            for more in ({}, {'with_api': False}, {
                    'named': f' (Request-ID: {CINDER})'}):
                with self.subTest(ahead_s=ahead_s, **more):
                    found = first(*self.refused_update(ahead_s, **more))
                    self.assertEqual(
                        ('cinder-volume', 'initialize_connection',
                         'StoreFull', '0 bytes free'),
                        (found.source, found.step, found.error, found.text))

    def test_the_answer_is_a_consequence_whatever_the_clock(self):
        its_logs = self.refused_update(5)
        records = lines.merged(*its_logs)
        reason = first(*its_logs)
        self.assertIn('nova-compute', [
            log for log, _ in cause.consequences(records, reason)])

    def test_an_answer_to_another_request_than_the_one_that_failed(self):
        """Cleaning up fails as well, later."""
        for named in ('', f' (Request-ID: {CINDER})'):
            compute = lines.Log('nova-compute')(
                2, f'Update attachment failed. (HTTP 400){named}', NOVA,
                level='ERROR')
            api = lines.cinder_call(lines.Log('cinder-api'), 1, 0.5, 'PUT',
                                    f'attachments/{VOLUME}', 400)
            lines.cinder_call(api, 3, 1, 'DELETE', f'attachments/{VOLUME}',
                              500, request=lines.OTHER)
            volume = lines.Log('cinder-volume')
            volume.event(3.5, 'terminate_connection', lines.OTHER, NOVA,
                         error='StoreFull')
            self.assertEqual('nova-compute',
                             first(compute, api, volume).source)

    def test_work_that_fails_after_the_api_gave_up(self):
        api = lines.cinder_call(lines.Log('cinder-api'), 0, 60, 'PUT',
                                f'attachments/{VOLUME}', 500)
        api(59.9, 'Unable to update attachment.', CINDER, NOVA, level='ERROR')
        api.traceback(59.9, 'oslo_messaging.exceptions.MessagingTimeout: x')
        volume = lines.Log('cinder-volume')
        volume.event(70, 'initialize_connection', CINDER, NOVA,
                     error='StoreFull')
        self.assertEqual('MessagingTimeout', first(api, volume).error)
        self.assertEqual([], clocks.offsets(
            lines.merged(api, volume), lines.found(api, volume)))

    def test_an_answer_of_which_cinder_has_nothing_of_its_own(self):
        *_, compute = self.refused_update(0)
        self.assertEqual('nova-compute', first(compute).source)

    def test_what_is_no_failure(self):
        log = lines.Log('nova-compute')
        log(1, "Could not load 'oslo_cache.x'", NOVA, level='ERROR',
            logger='stevedore.extension')
        log.event(2, 'connect_volume', NOVA, phase='login', error='E')
        log.event(3, 'connect_volume', NOVA)
        api = lines.cinder_call(lines.Log('cinder-api'), 1, 1, 'GET',
                                f'volumes/{VOLUME}', 404)
        self.assertIsNone(first(log, api))

    def test_a_phase_that_failed_in_an_operation_that_did_not(self):
        log = lines.Log('nova-compute')
        log.event(2, 'connect_volume', NOVA, phase='login', ms=900, error='E')
        log.event(3, 'connect_volume', NOVA, ms=2000)
        log(4, 'Failed later', NOVA, level='ERROR')
        self.assertEqual('Failed later', first(log).text)

    def test_an_error_before_the_attach_was_completed(self):
        log = lines.Log('nova-compute')(1, 'Odd', NOVA, level='ERROR')
        self.assertIsNotNone(first(log))
        api = lines.cinder_call(lines.Log('cinder-api'), 2, 1, 'POST',
                                f'attachments/{VOLUME}/action', 204)
        self.assertIsNone(first(log, api))

    def test_a_hint_for_errors_of_others(self):
        log = lines.Log('cinder-api')(1, 'Failed', CINDER, level='ERROR')
        log.traceback(1, 'oslo_messaging.exceptions.MessagingTimeout: Timed '
                      'out waiting for a reply', logger='nova.compute.manager')
        self.assertIn('rpc_response_timeout', first(log).hint)

    def test_passwords_are_masked(self):
        log = lines.Log('x')(1, "Failed: {'auth_password': 'hunter2'}",
                             NOVA, level='ERROR')
        self.assertNotIn('hunter2', first(log).text)


class ClocksTest(unittest.TestCase):
    """An effect that precedes its cause."""

    def call(self, ahead_s):
        """Return the lines of a call; the volume service's clock differs."""
        api = lines.cinder_call(lines.Log('cinder-api'), 10, 1, 'PUT',
                                f'attachments/{VOLUME}')
        volume = lines.Log('cinder-volume', ahead_s)
        volume.event(10.5, 'create_export', CINDER, NOVA)
        return lines.merged(api, volume)

    def test_clocks_that_agree(self):
        self.assertEqual([], clocks.offsets(self.call(0), []))

    def test_a_clock_that_is_behind(self):
        records = self.call(-3)
        offset, = clocks.offsets(records, [])
        self.assertEqual(('cinder-api', 'cinder-volume', CINDER),
                         (offset.ahead, offset.behind, offset.request_id))
        self.assertAlmostEqual(2.5, offset.seconds, places=3)
        # Nothing is corrected: the effect is still first.
        self.assertEqual('cinder-volume', records[0].source.name)

    def test_another_service_of_the_request(self):
        api = lines.Log('nova-api')(10, 'x', NOVA)
        cinder = lines.Log('cinder-api')(8, 'y', CINDER, NOVA)
        offset, = clocks.offsets(lines.merged(api, cinder), [])
        self.assertEqual(('nova-api', 'cinder-api'),
                         (offset.ahead, offset.behind))

    def test_a_clock_that_is_ahead(self):
        """Work ends after the answer to it."""
        for name, method, path in (
                ('create_export', 'PUT', f'attachments/{VOLUME}'),
                ('initialize_connection', 'POST', 'attachments'),
                ('remove_export', 'DELETE', f'attachments/{VOLUME}')):
            api = lines.cinder_call(lines.Log('cinder-api'), 10, 1, method,
                                    path, 500)
            for ahead_s, late_s in ((0, None), (0.49, None), (0.7, 0.2),
                                    (5, 4.5)):
                volume = lines.Log('cinder-volume', ahead_s)
                volume.event(10.5, name, CINDER, NOVA, error='StoreFull')
                found = clocks.offsets(lines.merged(api, volume),
                                       lines.found(api, volume))
                if late_s is None:
                    self.assertEqual([], found)
                    continue
                offset, = found
                self.assertEqual(
                    ('cinder-volume', 'cinder-api', CINDER, True),
                    (offset.ahead, offset.behind, offset.request_id,
                     offset.is_late))
                self.assertAlmostEqual(late_s, offset.seconds, places=3)
                self.assertIn('that of cinder-volume is at least',
                              render_text.clock_note(offset))
                self.assertIn('ahead of that of cinder-api',
                              render_text.clock_note(offset))

    def test_work_that_nobody_waits_for(self):
        api = lines.cinder_call(lines.Log('cinder-api'), 10, 1, 'PUT',
                                f'attachments/{VOLUME}')
        volume = lines.Log('cinder-volume')
        volume.event(12, 'delete_volume', CINDER, NOVA)
        volume.event(12, 'create_export', lines.OTHER, NOVA)
        self.assertEqual([], clocks.offsets(
            lines.merged(api, volume), lines.found(api, volume)))

    def test_an_api_that_logs_a_request_at_its_end(self):
        api = lines.Log('nova-api')(
            10, '192.0.2.1 "POST /v2.1/servers" status: 202 len: 1 '
            'microversion: 2.1 time: 4.0', NOVA,
            logger='nova.api.openstack.requestlog')
        compute = lines.Log('nova-compute')(7, 'x', NOVA)
        self.assertEqual([], clocks.offsets(
            lines.merged(api, compute), lines.found(api, compute)))


class BreakdownTest(unittest.TestCase):
    """Each moment belongs to one step."""

    def found(self):
        """Return steps: a call of 10 s, in it 6 s, in them 2 s."""
        api = lines.cinder_call(lines.Log('cinder-api'), 0, 10, 'PUT',
                                f'attachments/{VOLUME}')
        volume = lines.Log('cinder-volume')
        volume.event(4, 'create_export', CINDER, phase='device', ms=2000)
        volume.event(8, 'create_export', CINDER, ms=6000)
        return lines.found(api, volume)

    def test_own_times_add_up(self):
        found = self.found()
        start = found[0].start
        shares = breakdown.shares(found, start - 1, start + 12)
        self.assertEqual(
            {'attachment_update': 4, 'create_export': 4,
             'create_export: device': 2, breakdown.NOTHING: 3},
            {s.name: round(s.seconds, 3) for s in shares})

    def test_gaps_are_between_steps(self):
        found = self.found()
        start = found[0].start
        gaps = breakdown.gaps(found, start - 1, start + 12)
        self.assertEqual(
            [(2, 'cinder-api: attachment_update', ''),
             (1, '', 'cinder-api: attachment_update')],
            [(round(g.seconds, 3), g.after, g.before) for g in gaps])

    def test_pauses_are_in_a_steps_own_time(self):
        api = lines.cinder_call(lines.Log('cinder-api'), 0, 10, 'PUT',
                                f'attachments/{VOLUME}')
        volume = lines.Log('cinder-volume')
        volume(2.5, 'formatting', CINDER, logger='os_brick.x')
        volume(7.5, 'formatted', CINDER, logger='os_brick.x')
        volume.event(8, 'create_export', CINDER, ms=6000)
        found, records = lines.found(api, volume), lines.merged(api, volume)
        start = found[0].start
        url = f'http://192.0.2.10:8776/v3/attachments/{VOLUME}'
        self.assertEqual(
            [('create_export', 5, 'os_brick.x: formatting'),
             ('attachment_update', 2, f'cinder.api.openstack.wsgi: PUT {url}'),
             ],
            [(p.step, round(p.seconds, 3), p.after) for p in
             breakdown.pauses(found, records, start, start + 10)])

    def test_nothing_at_all(self):
        self.assertEqual([], breakdown.shares([], 5, 5))
        self.assertEqual([], breakdown.gaps([], 5, 5))


class CoverageTest(unittest.TestCase):
    """What cannot be seen."""

    def missing(self, *logs, read=(), failed=False):
        records = lines.merged(*logs)
        sources = {record.Source(name, name) for name in read} | {
            r.source for r in records}
        return coverage.missing(search.ATTACH, sources, records,
                                lines.found(*logs), failed)

    def test_logs_that_were_not_read(self):
        said = self.missing(lines.Log('nova-compute')(1, 'x', NOVA),
                            read=('nova-api',))
        for sentence, beginning in zip(said, (
                'The log of nova-api has no line',
                'The log of cinder-api was not read',
                'The log of cinder-volume was not read'), strict=False):
            self.assertTrue(sentence.startswith(beginning), sentence)
        self.assertGreater(len(said), 3)

    def test_steps_without_lines(self):
        log = lines.Log('nova-compute')
        log.event(1, 'get_volume_connector', NOVA, volume='')
        said = self.missing(log)[-1]
        self.assertIn('reserve_block_device_name, connect_volume, '
                      'attach_device', said)
        self.assertNotIn('get_volume_connector', said)
        self.assertNotIn('No line shows', self.missing(log, failed=True)[-1])

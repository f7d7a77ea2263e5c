# SPDX-License-Identifier: Apache-2.0
"""Errors in spite of which a request succeeded, and those that count."""

import itertools
import re

from mydriver.trace import render_text
from tests.unit.trace import lines, test_ending
from tests.unit.trace.test_ending import ATTACH, BOOT, DETACH

NOVA, CINDER, VOLUME = lines.NOVA, lines.CINDER, lines.VOLUME
SERVER, OTHER = lines.SERVER, lines.OTHER
BUS = 'oslo_messaging._drivers.impl_rabbit'
GONE = ('AMQP server on 192.0.2.9:5672 is unreachable: [Errno 111] '
        'ECONNREFUSED. Trying again in 1 seconds.')
RAISED = 'oslo_messaging.rpc.server'


def lost(log, at, request=NOVA, cause='None'):
    """Write that the message bus is gone."""
    return log(at, GONE, request, cause, level='ERROR', logger=BUS)


def failed(log, at, server=SERVER):
    """Write that a server could not be built."""
    return log(at, f'[instance: {server}] Failed to build and run instance',
               NOVA, level='ERROR')


def built(log, at, server=SERVER):
    """Write that a server was built."""
    return log(at, f'[instance: {server}] Took 9.00 seconds to build '
               'instance.', NOVA)


def deleted(at, status=200):
    """Return the log of an attachment that is deleted."""
    return lines.cinder_call(lines.Log('cinder-api'), at, 1, 'DELETE',
                             f'attachments/{VOLUME}', status)


class SuccessCase(test_ending.EndingCase):
    """Excerpts with an error in them."""

    def with_error(self, name, request, at, logger, keep=lambda line: True,
                   ahead=0):
        """Return the trace of an excerpt with one more error.

        :param at: the time of the day of the error.
        :param ahead: the clock of the compute host, minutes.
        """
        self.excerpt(name, request, keep)
        path = self.folder / 'nova-compute.log'
        its_lines = [*path.read_text().splitlines(), (
            f'2026-11-27 {at} 860 ERROR {logger} [None {request} user '
            f'project - - default default] {GONE}')]
        text = '\n'.join(sorted(its_lines, key=lambda line: line[:23])) + '\n'
        path.write_text(re.sub(
            r'^(2026-11-27 01:)(\d\d)', lambda m: (
                f'{m[1]}{int(m[2]) + ahead:02d}'), text, flags=re.MULTILINE))
        return self.traced(request)


class SurvivedTest(SuccessCase):
    """Errors before a last step that ended well."""

    def test_an_error_at_any_place(self):
        for (name, request, at), logger, debug in itertools.product(
                (('attach', ATTACH, '01:28:05.000'),
                 ('detach', DETACH, '01:30:54.000'),
                 ('boot', BOOT, '01:31:08.300')),
                (BUS, 'oslo.messaging._drivers.impl_rabbit', 'odd.library'),
                (True, False)):
            with self.subTest(name=name, logger=logger, debug=debug):
                self.expect('ok', self.with_error(
                    name, request, at, logger,
                    lambda line, debug=debug: debug or ' DEBUG ' not in line))

    def test_a_compute_host_whose_clock_differs(self):
        for ahead, logger in itertools.product(
                (-20, -1, 1, 20), (BUS, 'odd.library')):
            with self.subTest(ahead=ahead, logger=logger):
                self.expect('ok', self.with_error(
                    'attach', ATTACH, '01:28:05.000', logger, ahead=ahead))
                self.expect('ok', self.with_error(
                    'detach', DETACH, '01:30:54.000', logger, ahead=ahead))

    def test_a_clock_that_is_ahead_is_told(self):
        found = self.with_error('attach', ATTACH, '01:28:05.000', BUS,
                                ahead=1)
        offset = found.offsets[0]
        self.assertEqual(('nova-compute', 'cinder-api'),
                         (offset.ahead, offset.behind))
        self.assertTrue(59 < offset.seconds <= 60)
        self.assertIn(
            'that of nova-compute is at least 59.09 s ahead of that of '
            'cinder-api: get_volume_connector ends after attachment_update, '
            'which waits for it', render_text.clock_note(offset))

    def test_clocks_that_agree_tell_nothing(self):
        for name, request, at in (('detach', DETACH, '01:30:54.000'),
                                  ('boot', BOOT, '01:31:08.300')):
            found = self.with_error(name, request, at, BUS)
            self.assertFalse([o for o in found.offsets if o.turn])

    def test_a_build_that_another_host_takes_over(self):
        for ahead in (-3600, 0, 3600):
            first = failed(lines.Log('nova-compute-a', ahead), 1)
            second = built(lines.Log('nova-compute-b'), 20)
            found = self.written(first, second, self.booting())
            self.expect('ok', found)

    def booting(self):
        """Return the log of an API that got a boot."""
        return lines.Log('nova-api')(
            0, '192.0.2.1 "POST /v2.1/servers" status: 202 len: 1 '
            'microversion: 2.1 time: 0.4', NOVA,
            logger='nova.api.openstack.requestlog')

    def test_a_build_whose_second_host_is_not_seen(self):
        log = failed(lines.Log('nova-compute'), 1)
        found = self.written(log, self.booting())
        self.expect('failed', found)
        note = ('Nova builds the server on another host after such a failure,'
                ' if there is one: no line shows whether it did.')
        self.assertIn(note, found.notes)
        conductor = lines.Log('nova-conductor')(
            2, 'Failed to compute_task_build_instances: Exceeded maximum '
            'number of retries.', NOVA, level='WARNING',
            logger='nova.scheduler.utils')
        self.assertNotIn(note, self.written(
            log, conductor, self.booting()).notes)

    def test_one_of_two_servers_of_a_request(self):
        other = lines.ATTACHMENT
        self.expect('failed', self.written(
            built(failed(lines.Log('nova-compute'), 1, other), 9),
            self.booting()))


class CountingTest(SuccessCase):
    """Errors that made a request fail."""

    def detach(self):
        return lines.Log('nova-compute')(0, f'Detaching volume {VOLUME}',
                                         NOVA)

    def test_what_a_method_raises(self):
        """The lock of a method is released as well when it raises."""
        found = self.with_error('detach', DETACH, '01:31:12.400', RAISED)
        self.expect('failed', found)
        found = self.with_error('attach', ATTACH, '01:28:17.600', RAISED,
                                ahead=-1)
        self.expect('failed', found)

    def test_an_error_after_the_end(self):
        log = self.detach()(9, 'Failed', NOVA, level='ERROR')
        self.expect('failed', self.written(log, deleted(2)))
        log.lines[-1] = log.lines[-1].replace('00:00:09', '00:00:01')
        self.expect('ok', self.written(log, deleted(2)))

    def test_a_volume_of_a_deleted_server(self):
        log = self.detach()
        log.event(1, 'disconnect_volume', NOVA, error='DeviceBusy')
        self.expect('failed', self.written(log, deleted(2)))
        log.event(1.5, 'disconnect_volume', NOVA, ms=100)
        self.expect('ok', self.written(log, deleted(2)))

    def test_a_message_bus_that_is_gone(self):
        log = lost(self.detach(), 1)
        log(60, 'Exception during message handling', NOVA, level='ERROR',
            logger=RAISED)
        log.traceback(60, 'oslo_messaging.exceptions.MessagingTimeout: Timed '
                      'out waiting for a reply', logger=RAISED)
        found = self.written(log)
        self.expect('failed', found)
        self.assertEqual(GONE, found.cause.text)
        self.assertIn('RabbitMQ', found.cause.hint)
        self.assertEqual(['Exception during message handling'],
                         [text for _, text in found.consequences])

    def test_a_message_bus_that_is_not_the_cause(self):
        log = lost(self.detach(), 1)
        log(6, 'Exception during message handling', NOVA, level='ERROR',
            logger=RAISED)
        log.traceback(6, 'nova.exception.DeviceDetachFailed: why',
                      logger=RAISED)
        self.assertEqual('why', self.written(log).cause.text)

    def test_a_request_that_is_refused_without_the_bus(self):
        api = lost(lines.Log('cinder-api'), 2.5, CINDER, NOVA)
        lines.cinder_call(api, 2, 1, 'DELETE', f'attachments/{VOLUME}', 500)
        self.assertEqual(GONE, self.written(self.detach(), api).cause.text)

    def test_a_request_of_which_no_end_is_known(self):
        found = self.written(lost(self.detach(), 1))
        self.expect('unfinished', found)
        self.assertIn(f'did not reach the message bus at 2026-11-27 '
                      f'00:00:01.000: {GONE}', ' '.join(found.notes))


class OthersTest(SuccessCase):
    """What else attaches and detaches volumes."""

    def migration(self):
        """Return the logs of both hosts and of cinder-api."""
        source = lines.Log('nova-compute-a')
        target = lines.Log('nova-compute-b')
        target.event(2, 'connect_volume', NOVA)
        source(3, f'[instance: {SERVER}] Took 3.00 seconds for '
               'pre_live_migration on destination host b.', NOVA)
        api = lines.Log('cinder-api')
        lines.cinder_call(api, 1, 0.5, 'POST', 'attachments')
        return source, target, api

    def finished(self, source, api):
        source(9, f'[instance: {SERVER}] _post_live_migration() is started..',
               NOVA)
        lines.cinder_call(api, 10, 1, 'POST', f'attachments/{VOLUME}/action',
                          204, OTHER)
        source(12, f'[instance: {SERVER}] Migrating instance to b finished '
               'successfully.', NOVA)

    def test_a_live_migration(self):
        source, target, api = self.migration()
        found = self.written(source, target, api)
        self.expect('unfinished', found)
        self.assertIn('This request is a live migration: ',
                      ' '.join(found.notes))
        self.finished(source, api)
        self.expect('ok', self.written(source, target, api))

    def test_a_live_migration_that_fails(self):
        source, target, api = self.migration()
        source(8, f'[instance: {SERVER}] Live migration failed.', NOVA,
               level='ERROR')
        self.assertEqual('nova-compute-a', self.written(
            source, target, api).cause.source)

    def test_the_second_volume_fails_at_the_destination(self):
        source, target, api = self.migration()
        source(9, f'[instance: {SERVER}] _post_live_migration() is started..',
               NOVA)
        lines.cinder_call(api, 10, 1, 'POST', f'attachments/{VOLUME}/action',
                          204, OTHER)
        target(10.5, 'Second', NOVA, level='ERROR')
        found = self.written(source, target, api)
        self.expect('failed', found)
        self.assertTrue(found.cause.text.endswith('Second'))

    def test_a_swap(self):
        log = lines.Log('nova-compute')
        log.event(1, 'connect_volume', NOVA)
        log(1, f'Swapping volume {VOLUME} for {SERVER}', NOVA)
        self.expect('unfinished', self.written(log))
        api = lines.cinder_call(lines.Log('cinder-api'), 10, 1, 'POST',
                                f'attachments/{VOLUME}/action', 204)
        self.expect('ok', self.written(log, api))
        log(12, 'Exception during message handling', NOVA, level='ERROR',
            logger=RAISED)
        self.expect('failed', self.written(log, api))

    def test_a_swap_that_cleans_up(self):
        log = lines.Log('nova-compute')
        log(1, f'Swapping volume {VOLUME} for {SERVER}', NOVA)
        log.event(2, 'connect_volume', NOVA)
        log(3, 'Failed to swap volume', NOVA, level='ERROR')
        self.expect('failed', self.written(log, deleted(4)))

    def test_a_rebuild_and_an_evacuation(self):
        for what, name in (('Rebuilding instance', 'a rebuild'),
                           ('Evacuating instance', 'an evacuation'),
                           ('Unshelving', 'an unshelve')):
            log = lines.Log('nova-compute')
            log(1, f'[instance: {SERVER}] {what}', NOVA)
            log(1.5, f'[instance: {SERVER}] Booting with volume {VOLUME} at '
                '/dev/vda', NOVA, logger='nova.virt.block_device')
            log.event(2, 'connect_volume', NOVA)
            # Nova completes the attachment before it spawns the server.
            api = lines.cinder_call(lines.Log('cinder-api'), 1, 0.5, 'POST',
                                    f'attachments/{VOLUME}/action', 204)
            found = self.written(log, api)
            self.expect('unfinished', found)
            self.assertIn(f'This request is {name}: ', ' '.join(found.notes))
            log(3, 'Spawning failed', NOVA, level='ERROR')
            self.expect('failed', self.written(log, api))
            log.lines.pop()
            log(3, f'[instance: {SERVER}] Instance spawned successfully.',
                NOVA, logger='nova.virt.libvirt.driver')
            self.expect('ok', self.written(log, api))

    def test_what_nothing_is_logged_about_at_its_end(self):
        for what, name in (('Migrating', 'a resize or cold migration'),
                           ('Rebooting instance', 'a reboot'),
                           ('Shelve offloading', 'a shelving')):
            log = lines.Log('nova-compute')
            log(1, f'[instance: {SERVER}] {what}', NOVA)
            log.event(2, 'connect_volume', NOVA)
            found = self.written(log)
            self.expect('ok', found)
            self.assertIn(
                f'This request is {name}: only what concerns volumes is shown,'
                ' and no line shows whether it came to its end.', found.notes)

    def test_a_boot_from_several_volumes_without_the_log_of_the_host(self):
        api = lines.Log('cinder-api')
        for number, request in enumerate((CINDER, OTHER)):
            lines.cinder_call(api, number, 0.5, 'POST', 'attachments',
                              request=request)
        lines.cinder_call(api, 3, 0.5, 'POST', f'attachments/{VOLUME}/action',
                          204)
        booting = SurvivedTest.booting(self)
        self.expect('unfinished', self.written(api, booting))
        lines.cinder_call(api, 4, 0.5, 'POST', f'attachments/{SERVER}/action',
                          204, OTHER)
        self.expect('ok', self.written(api, booting))

# SPDX-License-Identifier: Apache-2.0
"""Which lines prove which steps."""

import unittest

from mydriver.trace import steps
from tests.unit.trace import lines

NOVA, CINDER, VOLUME = lines.NOVA, lines.CINDER, lines.VOLUME
LOCK = f'Lock "{lines.SERVER}"'
MANAGER = 'nova.compute.manager.ComputeManager'


def names(found):
    """Return names and durations in milliseconds."""
    return [(s.name, round(s.duration * 1e3)) for s in found]


class ApiTest(unittest.TestCase):
    """Requests to the APIs."""

    def test_nova(self):
        log = lines.Log('nova-api')
        log(2, '192.0.2.1 "POST /v2.1/servers/' + lines.SERVER
            + '/os-volume_attachments" status: 200 len: 194 microversion: '
            '2.89 time: 0.500000', NOVA,
            logger='nova.api.openstack.requestlog')
        step, = lines.found(log)
        self.assertEqual([('attach request', 500)], names([step]))
        self.assertEqual((steps.OK, NOVA), (step.outcome, step.request_id))

    def test_nova_refuses(self):
        log = lines.Log('nova-api')
        log(2, '192.0.2.1 "DELETE /v2.1/servers/' + lines.SERVER
            + '/os-volume_attachments/' + VOLUME + '" status: 404 len: 1 '
            'microversion: 2.1 time: 0.1', NOVA,
            logger='nova.api.openstack.requestlog')
        step, = lines.found(log)
        self.assertEqual(('detach request', steps.FAILED, 'HTTP 404'),
                         (step.name, step.outcome, step.error))

    def test_cinder(self):
        log = lines.Log('cinder-api')
        for at, method, path, name in (
                (1, 'POST', 'attachments', 'attachment_create'),
                (2, 'PUT', f'attachments/{VOLUME}', 'attachment_update'),
                (3, 'POST', f'attachments/{VOLUME}/action',
                 'attachment_complete'),
                (4, 'DELETE', f'attachments/{VOLUME}', 'attachment_delete'),
                (5, 'GET', f'volumes/{VOLUME}?a=b', 'get volume'),
                (6, 'GET', f'{"ab" * 16}/volumes/{VOLUME}', 'get volume'),
                (7, 'POST', 'types', 'POST /types')):
            log.lines.clear()
            lines.cinder_call(log, at, 0.25, method, path)
            self.assertEqual([(name, 250)], names(lines.found(log)))

    def test_an_answer_that_never_came(self):
        log = lines.Log('cinder-api')
        lines.cinder_call(log, 1, 1, 'PUT', f'attachments/{VOLUME}')
        log.lines.pop()
        step, = lines.found(log)
        self.assertEqual(
            ('attachment_update', steps.UNKNOWN, 'no answer is logged'),
            (step.name, step.outcome, step.error))


class EventTest(unittest.TestCase):
    """Events of the driver and the plugin."""

    def test_operations_phases_and_waits(self):
        log = lines.Log('nova-compute')
        log.event(3, 'connect_volume', NOVA, phase='lock', ms=300)
        log.event(3.1, 'connect_volume', NOVA, phase='login', ms=100)
        log.event(3.2, 'connect_volume', NOVA, ms=500)
        found = lines.found(log)
        self.assertEqual([('connect_volume', 500),
                          ('connect_volume: lock', 300),
                          ('connect_volume: login', 100)], names(found))
        self.assertEqual([steps.OPERATION, steps.WAIT, steps.PHASE],
                         [s.kind for s in found])

    def test_a_lock_that_was_free_is_not_shown(self):
        log = lines.Log('nova-compute')
        log.event(3, 'connect_volume', NOVA, phase='lock', ms=0.4)
        self.assertEqual([], lines.found(log))

    def test_an_event_replaces_the_other_proofs(self):
        log = lines.Log('cinder-volume')
        log(1, 'Lock "cinder-mydriver-x" acquired by "create_export" :: '
            'waited 0.000s', CINDER, logger='cinder.coordination')
        log(1.5, f'Exported volume {VOLUME} in 480.0 ms', CINDER,
            logger='mydriver.target.changes')
        log(1.5, 'Lock "cinder-mydriver-x" released by "create_export" :: '
            'held 0.500s', CINDER, logger='cinder.coordination')
        self.assertEqual([('create_export', 480)], names(lines.found(log)))
        log.event(1.501, 'create_export', CINDER, ms=501)
        self.assertEqual([('create_export', 501)], names(lines.found(log)))

    def test_two_of_one_name_stay_two(self):
        log = lines.Log('cinder-volume')
        for at in (1, 2):
            log.event(at, 'create_export', CINDER, ms=100)
        self.assertEqual(2, len(lines.found(log)))

    def test_the_device_is_attached_after_it_is_connected(self):
        log = lines.Log('nova-compute')
        log.event(2, 'connect_volume', NOVA, ms=900)
        log.event(2.25, 'attach_volume', NOVA, ms=1200)
        self.assertEqual([('attach_volume', 1200), ('connect_volume', 900),
                          ('attach_device', 250)], names(lines.found(log)))

    def test_the_device_is_detached_before_it_is_disconnected(self):
        log = lines.Log('nova-compute')
        log.event(2, 'disconnect_volume', NOVA, ms=300)
        log.event(2, 'detach_volume', NOVA, ms=1000)
        self.assertEqual(
            [('detach_volume', 1000), ('detach_device', 700),
             ('disconnect_volume', 300)], names(lines.found(log)))

    def test_no_device_is_attached_if_the_connection_failed(self):
        log = lines.Log('nova-compute')
        log.event(2, 'connect_volume', NOVA, ms=900, error='LoginError')
        log.event(2.25, 'attach_volume', NOVA, ms=1200, error='LoginError')
        self.assertEqual([('attach_volume', 1200), ('connect_volume', 900)],
                         names(lines.found(log)))


class OtherLinesTest(unittest.TestCase):
    """Lines of releases without events, and of other libraries."""

    def test_locks_of_the_compute_service(self):
        log = lines.Log('nova-compute')
        log(1, f'{LOCK} acquired by "{MANAGER}.reserve_block_device_name.'
            '<locals>.do_reserve" :: waited 0.200s', NOVA, level='DEBUG',
            logger='oslo_concurrency.lockutils')
        log(2, f'{LOCK} "released" by "{MANAGER}.reserve_block_device_name.'
            '<locals>.do_reserve" :: held 1.000s', NOVA, level='DEBUG',
            logger='oslo_concurrency.lockutils')
        self.assertEqual([('reserve_block_device_name: lock', 200),
                          ('reserve_block_device_name', 1000)],
                         names(lines.found(log)))

    def test_a_method_that_never_ends(self):
        log = lines.Log('cinder-volume')
        log(1, 'Lock "cinder-mydriver-x" acquired by "remove_export" :: '
            'waited 0.000s', CINDER, logger='cinder.coordination')
        step, = lines.found(log)
        self.assertEqual(('remove_export', steps.UNKNOWN, 'no end is logged'),
                         (step.name, step.outcome, step.error))

    def test_other_locks_are_shown_if_waited_for(self):
        log = lines.Log('nova-compute')
        for waited in ('0.000', '2.000'):
            log(1, f'Lock "compute_resources" acquired by "nova.x.claim" :: '
                f'waited {waited}s', NOVA,
                logger='oslo_concurrency.lockutils')
        log(2, 'Lock "compute_resources" "released" by "nova.x.claim" :: '
            'held 1.000s', NOVA, logger='oslo_concurrency.lockutils')
        self.assertEqual([('claim: lock', 2000)], names(lines.found(log)))

    def test_timed_lines_in_both_units(self):
        for text, name, ms in (
                (f'Mapped volume {VOLUME} to iqn.x:y in 189.9 ms',
                 'initialize_connection', 190),
                (f'Unmapped volume {VOLUME} from iqn.x:y in 2.0 ms',
                 'terminate_connection', 2),
                (f'Withdrew volume {VOLUME} in 9.0 ms', 'remove_export', 9),
                (f'Attached volume {VOLUME} as /dev/sda in 0.045 s',
                 'connect_volume', 45),
                (f'Detached volume {VOLUME} in 1.500 s', 'disconnect_volume',
                 1500)):
            log = lines.Log('x')(5, text, NOVA, logger='mydriver.target.x')
            self.assertEqual([(name, ms)], names(lines.found(log)))
            other = lines.Log('x')(5, text, NOVA, logger='other')
            self.assertEqual([], lines.found(other))

    def test_what_nova_times(self):
        log = lines.Log('nova-compute')
        log(9, '[instance: x] Took 2.50 seconds to spawn the instance on the '
            'hypervisor.', NOVA)
        log(9, '[instance: x] Took 4.25 seconds to build instance.', NOVA)
        self.assertEqual([('build instance', 4250), ('spawn instance', 2500)],
                         names(lines.found(log)))

    def test_os_brick_and_nova_at_debug(self):
        log = lines.Log('nova-compute')
        log(1, '==> connect_volume: call {secret}', NOVA, logger='os_brick.x')
        log(2, '<== connect_volume: return (950ms) {auth_password}', NOVA,
            logger='os_brick.x')
        log(2, 'attach device xml: <disk/>', NOVA, logger='nova.virt.x')
        log(2.5, 'Attaching done', NOVA)
        found = lines.found(log)
        self.assertEqual([('connect_volume', 950), ('attach_device', 500)],
                         names(found))
        self.assertNotIn('password', found[0].proof)

    def test_a_privileged_daemon_that_is_started(self):
        log = lines.Log('nova-compute')
        log(1, "Running privsep helper: ['privsep-helper', '--config-file', "
            "'x.conf', '--privsep_context', 'mydriver.privileged.x', '-']",
            NOVA, logger='oslo.privsep.daemon')
        log(4, 'Spawned new privsep daemon via rootwrap', NOVA,
            logger='oslo.privsep.daemon')
        self.assertEqual([('start of daemon mydriver.privileged.x', 3000)],
                         names(lines.found(log)))

    def test_commands_that_take_long(self):
        log = lines.Log('nova-compute')
        for text in ('CMD "qemu-img info secret" returned: 1 in 0.761s',
                     'CMD "true" returned: 0 in 0.012s'):
            log(4, text, NOVA, logger='oslo_concurrency.processutils')
        self.assertEqual([('command qemu-img', 761)],
                         names(lines.found(log)))

    def test_a_failed_call_of_os_brick(self):
        log = lines.Log('nova-compute')
        log(2, '<== connect_volume: exception (950ms) E()', NOVA)
        self.assertEqual(steps.FAILED, lines.found(log)[0].outcome)

    def test_what_others_quote_proves_nothing(self):
        """As names that users gave, which a service logs at DEBUG."""
        log = lines.Log('cinder-volume')
        event = lines.Log('x').event(1, 'terminate_connection', CINDER,
                                     error='Forged').lines[0]
        for quoted in (event, event.partition('] ')[2],
                       '<== connect_volume: exception (950ms) E()',
                       'Lock "a" acquired by "b.do_attach" :: waited 9.5s'):
            log(1, f"Task 'extract' got {{'display_name': '{quoted}'}}",
                CINDER, NOVA, logger='cinder.volume.flows.common')
        log(2, event.partition('] ')[2], CINDER, NOVA,
            logger='cinder.volume.flows.common')
        self.assertEqual([], lines.found(log))
        self.assertEqual({None}, {r.event for r in log.records()})

    def test_the_part_of_the_volume_service(self):
        log = lines.Log('cinder-volume')
        log(1, 'Something first', CINDER, NOVA, logger='cinder.x')
        log(3, 'attachment_update completed successfully.', CINDER, NOVA,
            logger='cinder.volume.manager')
        self.assertEqual([('attachment_update', 2000)],
                         names(lines.found(log)))

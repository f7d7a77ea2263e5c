# SPDX-License-Identifier: Apache-2.0
"""Which requests concern a server or a volume, and their lines."""

from pathlib import Path
import tempfile
import unittest

from mydriver import exception
from mydriver.trace import logs, search
from tests.unit.trace import lines

NOVA, CINDER, OTHER = lines.NOVA, lines.CINDER, lines.OTHER
VOLUME, SERVER = lines.VOLUME, lines.SERVER


class SearchTest(unittest.TestCase):
    """Two readings of the logs."""

    def setUp(self):
        super().setUp()
        self.folder = Path(self.enterContext(tempfile.TemporaryDirectory()))

    def logs(self, *written):
        for log in written:
            log.write(self.folder)
        return logs.Logs([str(self.folder)])

    def flows(self, subject, *written):
        return search.flows(self.logs(*written).records([subject]))

    def test_requests_are_joined_by_the_global_id(self):
        its_logs = self.logs(
            lines.Log('nova-compute')(
                1, f'Attaching volume {VOLUME} to /dev/vdb', NOVA),
            lines.Log('cinder-api')(2, 'without the volume', CINDER, NOVA),
            lines.Log('cinder-volume')(3, f'On {VOLUME}', OTHER))
        for subject in (NOVA, CINDER, VOLUME):
            flow = search.choose(search.flows(its_logs.records([subject])),
                                 subject)
            self.assertEqual(NOVA, flow.key)
            found, cut = search.collect(its_logs, flow)
            self.assertFalse(cut)
            self.assertEqual(
                ['nova-compute', 'cinder-api'],
                [r.source.name for r in found if r.request_id != OTHER])

    def test_kinds(self):
        url = f'/v2.1/servers/{SERVER}/os-volume_attachments'
        for text, kind in (
                (f'Attaching volume {VOLUME} to /dev/vdb', search.ATTACH),
                (f'Detaching volume {VOLUME}', search.DETACH),
                (f'Booting with volume {VOLUME} at /dev/vda', search.BOOT),
                (f'1.2.3.4 "DELETE {url}/{VOLUME}" status: 202',
                 search.DETACH),
                (f'1.2.3.4 "POST {url}" status: 200', search.ATTACH),
                (f'GET http://192.0.2.1/v3/volumes/{VOLUME}', search.OTHER)):
            flow, = search.flows(
                lines.Log('x')(1, text, NOVA).records())
            self.assertEqual(kind, flow.kind, text)

    def test_events_have_kinds(self):
        for operation, kind in (
                ('connect_volume', search.ATTACH),
                ('initialize_connection', search.ATTACH),
                ('disconnect_volume', search.DETACH),
                ('terminate_connection', search.DETACH),
                ('create_volume', search.OTHER)):
            log = lines.Log('x').event(1, operation, NOVA)
            self.assertEqual(kind, search.flows(log.records())[0].kind)

    def test_a_start_of_cinder_volume_is_no_attach(self):
        for own in (lines.Log('x').event(2, 'create_export', CINDER).event(
                        3, 'ensure_export', CINDER),
                    lines.Log('x')(2, f'Exported volume {VOLUME} in 9.0 ms',
                                   CINDER)):
            known = self.flows(VOLUME, lines.Log('cinder-volume').event(
                1, 'initialize_connection', NOVA), own)
            self.assertEqual([search.ATTACH, search.OTHER],
                             [f.kind for f in known])
            for kind in ('', search.ATTACH):
                self.assertEqual(
                    NOVA, search.choose(known, VOLUME, kind).key)

    def test_an_export_that_nova_asked_for_is_an_attach(self):
        for log in (lines.Log('x').event(1, 'create_export', CINDER, NOVA,
                                         error='E'),
                    lines.Log('x')(1, f'Exported volume {VOLUME} in 9.0 ms',
                                   CINDER, NOVA)):
            flow, = search.flows(log.records())
            self.assertEqual(search.ATTACH, flow.kind)

    def test_a_deletion_is_no_detach(self):
        known = self.flows(
            VOLUME, lines.Log('cinder-volume').event(
                1, 'terminate_connection', CINDER, NOVA).event(
                1.1, 'remove_export', CINDER, NOVA).event(
                2, 'remove_export', OTHER).event(3, 'delete_volume', OTHER))
        self.assertEqual([search.DETACH, search.OTHER],
                         [f.kind for f in known])
        self.assertEqual(NOVA, search.choose(known, VOLUME).key)
        self.assertEqual(OTHER, search.choose(known[1:], VOLUME).key)

    def test_a_failed_attach_is_an_attach(self):
        log = lines.Log('x')
        log.event(1, 'initialize_connection', NOVA, error='E')
        log.event(2, 'terminate_connection', NOVA)
        self.assertEqual(search.ATTACH, search.flows(log.records())[0].kind)

    def test_the_last_change_is_chosen(self):
        log = lines.Log('nova-compute')
        log(1, f'Attaching volume {VOLUME}', NOVA)
        log(2, f'Detaching volume {VOLUME}', CINDER)
        log(3, f'volume {VOLUME}', OTHER)
        known = self.flows(VOLUME, log)
        self.assertEqual(CINDER, search.choose(known, VOLUME).key)
        self.assertEqual(NOVA, search.choose(known, VOLUME, 'attach').key)
        with self.assertRaisesRegex(exception.ConfigurationError,
                                    'no line of the logs .* boot of'):
            search.choose(known, VOLUME, 'boot')
        with self.assertRaises(exception.ConfigurationError):
            search.choose([], VOLUME)

    def test_lines_without_a_request_count_while_it_runs(self):
        log = lines.Log('mydriver-gateway')
        for at in (0, 2, 9):
            log(at, f'Mapped volume {VOLUME} at {at}')
        its_logs = self.logs(log, lines.Log('nova-compute')(
            1, f'Attaching volume {VOLUME} to x', NOVA)(3, 'Done', NOVA))
        flow = search.choose(
            search.flows(its_logs.records([VOLUME])), VOLUME)
        found, _ = search.collect(its_logs, flow)
        self.assertEqual(
            ['Attaching', 'Mapped', 'Done'],
            [r.text.split()[0] for r in found])

    def test_volumes_are_learnt_from_lines(self):
        for text in (f'Attaching volume {VOLUME} to /dev/vdb',
                     f'GET http://192.0.2.1/v3/volumes/{VOLUME}',
                     f'Lock "cinder-mydriver-{VOLUME}" acquired',
                     f'body: {{"volume_uuid": "{VOLUME}"}}'):
            flow, = search.flows(lines.Log('x')(1, text, NOVA).records())
            self.assertEqual({VOLUME}, flow.volumes, text)

    def test_a_request_that_lists_all_volumes(self):
        log = lines.Log('cinder-api')
        log(1, ' '.join(f'volume {VOLUME[:-4]}{n:04d}' for n in range(500)),
            NOVA)(2, 'Done', NOVA)
        its_logs = self.logs(log)
        flow, = search.flows(its_logs.records([NOVA]))
        asked = []
        its_logs.by_file = lambda words: asked.append(words) or iter(())
        search.collect(its_logs, flow)
        self.assertLess(len(asked[0]), 30)
        self.assertEqual(NOVA, asked[0][0])

    def test_what_is_no_subject(self):
        for subject in ('', 'req-1', 'my-server', VOLUME[:-1], VOLUME + '0',
                        '../../etc/passwd', 'req-' + '\x1b[31m'):
            with self.assertRaises(exception.ConfigurationError):
                search.check(subject)
        self.assertEqual(VOLUME, search.check(f' {VOLUME.upper()}\n'))

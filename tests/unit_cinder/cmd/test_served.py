# SPDX-License-Identifier: Apache-2.0
"""``show``, ``status`` and ``restore`` of backends that gateways serve."""

import contextlib

from tests.fakes.commands import FIRST, HOST, SECOND
from tests.fakes.gateways.beating import Beating
from tests.fakes.gateways.commands import ONE, TWO, GatewaysTestCase


class ServedTest(GatewaysTestCase):
    """None of them looks for a journal on this host."""

    def test_show(self):
        self.export_two()
        status, rows, err = self.rows('show', 'ceph')
        self.assertEqual(0, status, err)
        self.assertEqual(
            [(FIRST, str(ONE), str(HOST), 1), (SECOND, str(TWO), '', '')],
            [(r['Volume'], r['Target'], r['Initiator'], r['LUN'])
             for r in rows])

    def test_show_without_a_journal(self):
        status, rows, err = self.rows('show', 'ceph')
        self.assertEqual((1, []), (status, rows))
        self.assertIn('Start cinder-volume, which creates it', err)

    def test_restore(self):
        status, _, err = self.run_command('restore', 'ceph', 'fast')
        self.assertEqual(0, status)
        self.assertIn('Backend ceph is served by gateways: there is nothing '
                      'to restore', err)

    def findings(self, *serving):
        """Return the findings of ``status`` by part."""
        with contextlib.ExitStack() as stack:
            for name, serves in serving:
                stack.enter_context(Beating(self.registry(), name, *serves))
            _, rows, _ = self.rows('status', 'ceph')
        return {r['Part']: (r['State'], r['Detail']) for r in rows}

    def test_status_of_what_is_well(self):
        its = self.export_two()
        for n, target in enumerate((ONE, TWO)):
            its.begin(target, f'gw{n}', 1)
            its.acknowledge(target, f'gw{n}', 1, its.generation(target), {})
        found = self.findings(('gw0', [str(ONE)]), ('gw1', [str(TWO)]))
        self.assertEqual(('ok', 'gw0, gw1 running'), found['gateways'])
        self.assertEqual(('ok', '2, all served'), found['targets'])
        self.assertEqual(('ok', '2, all as they should be'),
                         found['exports'])
        self.assertEqual(('ok', '1 in the journal'), found['mappings'])

    def test_status_with_a_single_gateway(self):
        its = self.export_two()
        its.begin(ONE, 'gw0', 1)
        its.acknowledge(ONE, 'gw0', 1, its.generation(ONE),
                        {FIRST: 'it has no image'})
        found = self.findings(('gw0', [str(ONE)]))
        self.assertEqual(
            ('warning', 'gw0 running; no other one could take over'),
            found['gateways'])
        self.assertEqual('wrong', found['targets'][0])
        self.assertIn(f'1 of 2 served by no gateway: {TWO}',
                      found['targets'][1])
        why = f'{FIRST}: it has no image'
        self.assertEqual(
            ('wrong', f'1 of 2 cannot be served as they should: {why}'),
            found['exports'])

    def test_status_of_changes_that_wait(self):
        self.export_two()
        found = self.findings(('gw0', [str(ONE), str(TWO)]))
        self.assertEqual('warning', found['exports'][0])
        self.assertIn('still to be applied', found['exports'][1])

    def test_status_without_gateways(self):
        self.export_two()
        found = self.findings()
        self.assertEqual('wrong', found['gateways'][0])
        self.assertIn('none is running. Start mydriver gateway',
                      found['gateways'][1])

    def test_status_without_a_journal(self):
        found = self.findings(('gw0', []))
        self.assertEqual('wrong', found['exports'][0])
        self.assertIn('Start cinder-volume', found['exports'][1])

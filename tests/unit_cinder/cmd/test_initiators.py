# SPDX-License-Identifier: Apache-2.0
"""``mydriver status`` names initiators that use an earlier setting."""

import json
import os

from mydriver import model
from mydriver.target import chap
from mydriver.target.journal import sqlite as journals
from tests.fakes import commands
from tests.fakes.commands import FIRST, HOST, SECOND

OTHER = model.Iqn('iqn.1993-08.org.debian:01:other')


class InitiatorsTest(commands.CommandTestCase):
    """With CHAP off and one portal."""

    def kept(self, *kinds):
        """Map volumes with these kinds; return the details reported."""
        self.fill()
        journal = journals.SqliteJournal(self.backend.journal_path, 'test')
        for initiator, kind in zip((HOST, OTHER), kinds, strict=False):
            journal.remove_mapping(FIRST, initiator)
            journal.add_mapping(SECOND, initiator, read_only=False,
                                mutual=False, kind=kind)
        journal.close()
        _, out, _ = self.run_command('status', 'disks', '-f', 'json')
        rows = [r for r in json.loads(out) if r['Part'] == 'initiators']
        self.assertLessEqual({r['State'] for r in rows}, {'ok'})
        return [r['Detail'] for r in rows]

    def test_an_initiator_that_still_uses_chap(self):
        detail, = self.kept(model.NodeKind(chap=True, key='0' * 16),
                            model.NodeKind(chap=False))
        self.assertIn(f'{HOST}: CHAP', detail)
        self.assertNotIn(str(OTHER), detail)

    def test_an_initiator_that_uses_other_portals(self):
        detail, = self.kept(model.NodeKind(
            chap=False, portals=frozenset({'192.0.2.77:3260'})))
        self.assertIn(f'{HOST}: portals', detail)

    def test_an_initiator_that_uses_an_earlier_key(self):
        self.write(commands.CONF.replace(
            'use_chap_auth = False', 'use_chap_auth = True'))
        path = os.path.join(self.backend.state_path, chap.KEY_FILE)
        current = chap.ChapKey.load(path).fingerprint
        detail, = self.kept(
            model.NodeKind(chap=True, key='0' * 16),
            model.NodeKind(chap=True, key=current))
        self.assertIn('earlier chap.key', detail)
        self.assertNotIn(str(OTHER), detail)
        self.assertNotIn('0' * 16, detail)

    def test_a_key_that_others_can_read(self):
        self.write(commands.CONF.replace(
            'use_chap_auth = False', 'use_chap_auth = True'))
        path = os.path.join(self.backend.state_path, chap.KEY_FILE)
        chap.ChapKey.load(path)
        os.chmod(path, 0o644)
        self.fill()
        status, out, _ = self.run_command('status', 'disks', '-f', 'json')
        row, = (r for r in json.loads(out) if r['Part'] == 'initiators')
        self.assertEqual((1, 'wrong'), (status, row['State']))
        self.assertIn(f'chmod 600 {path}', row['Detail'])

    def test_no_initiator(self):
        self.assertEqual([], self.kept(model.NodeKind(chap=False)))

# SPDX-License-Identifier: Apache-2.0
"""Each entry of systemd's journal is read once; journalctl is a stand-in."""

import json
import os
from pathlib import Path
import tempfile
import textwrap
import unittest
from unittest import mock

from mydriver import exception
from mydriver.trace import journalctl

#: Serves the entries in the file ``journal`` beside it, by unit and cursor.
_STAND_IN = '''\
    #!/usr/bin/env python3
    import json, pathlib, sys
    options = dict(o.partition('=')[::2] for o in sys.argv[1:])
    here = pathlib.Path(__file__).parent
    said = here / 'error'
    if '--system' not in options or options['--output'] != 'json':
        sys.exit(2)
    found = [json.loads(line) for line in (here / 'journal').open()]
    if '--after-cursor' in options:
        at = [e['__CURSOR'] for e in found].index(options['--after-cursor'])
        found = found[at + 1:]
    found = [e for e in found if e['_SYSTEMD_UNIT'] == options['--unit']]
    for entry in found[-int(options.get('--lines', 0)):]:
        print(json.dumps({
            key: value for key, value in entry.items() if key[:2] == '__'
            or key in options['--output-fields'].split(',')}), flush=True)
    if said.exists():
        sys.exit(said.read_text())
'''


class JournalctlTest(unittest.TestCase):
    """Entries of a unit."""

    def setUp(self):
        super().setUp()
        self.folder = Path(self.enterContext(tempfile.TemporaryDirectory()))
        self.journal = self.folder / 'journal'
        self.journal.touch()
        for name, text in (('journalctl', textwrap.dedent(_STAND_IN)),
                           ('systemctl', '#!/bin/sh\necho loaded\n')):
            (self.folder / name).write_text(text)
            (self.folder / name).chmod(0o755)
        self.enterContext(mock.patch.dict(os.environ, {
            'PATH': f'{self.folder}:{os.environ["PATH"]}'}))
        self.count = 0
        self.cursor = None

    def write(self, unit='cinder-volume.service'):
        """Add an entry."""
        self.count += 1
        with self.journal.open('a') as f:
            print(json.dumps({
                '__CURSOR': f's={self.count}', '__REALTIME_TIMESTAMP': '1',
                '_SYSTEMD_UNIT': unit, 'SECRET': 'x',
                'MESSAGE': f'{self.count}'}), file=f)

    def read(self, most=1000):
        """Return the new messages."""
        follower = journalctl.Follower('cinder-volume.service', self.cursor)
        try:
            found = list(follower.entries(most))
        finally:
            self.cursor = follower.cursor
        self.assertEqual([], [e for e in found if 'SECRET' in e])
        return [int(e['MESSAGE']) for e in found]

    def test_each_entry_once(self):
        self.write()
        self.write()
        self.assertEqual([], self.read())
        self.assertEqual([], self.read())
        self.write()
        self.write('other.service')
        self.write()
        self.assertEqual([3, 5], self.read())
        self.assertEqual([], self.read())

    def test_no_entry_yet(self):
        self.assertEqual([], self.read())
        self.write()
        self.assertEqual([1], self.read())
        self.assertEqual([], self.read())

    def test_many_are_read_in_parts(self):
        self.read()
        for _ in range(5):
            self.write()
        self.assertEqual([[1, 2], [3, 4], [5], []],
                         [self.read(2) for _ in range(4)])

    def test_an_error(self):
        """What came before it was read."""
        self.read()
        self.write()
        error = self.folder / 'error'
        error.write_text('No journal files were opened')
        with self.assertRaisesRegex(
                exception.ConfigurationError,
                'cinder-volume.service: No journal files.*systemd-journal'):
            self.read()
        error.unlink()
        self.assertEqual([], self.read())

    def test_a_unit_that_nobody_knows(self):
        """A typing error counts nothing, and would never be noticed."""
        (self.folder / 'systemctl').write_text('#!/bin/sh\necho not-found\n')
        for _ in range(2):
            with self.assertRaisesRegex(
                    exception.ConfigurationError,
                    r'cinder-volume\.service: systemd has no such unit'):
                self.read()
        self.write()  # of a service that was removed meanwhile
        self.assertEqual([1], self.read())
        self.assertEqual([], self.read())

    def test_a_unit_without_entries_yet(self):
        self.assertEqual([], self.read())
        self.assertEqual([], self.read())
        (self.folder / 'systemctl').write_text('#!/bin/sh\nexit 1\n')
        self.assertEqual([], self.read())

    def test_it_does_not_end(self):
        (self.folder / 'journalctl').write_text('#!/bin/sh\nexec sleep 60\n')
        with mock.patch.object(journalctl, '_TIMEOUT_S', 0.2), \
                self.assertRaisesRegex(exception.ConfigurationError,
                                       'does not end within 0.2 s'):
            self.read()

    def test_there_is_none(self):
        (self.folder / 'journalctl').unlink()
        with mock.patch.dict(os.environ, {'PATH': str(self.folder)}), \
                self.assertRaisesRegex(exception.ConfigurationError,
                                       'journalctl: No such file'):
            self.read()

# SPDX-License-Identifier: Apache-2.0
"""Copies of a log beside it."""

from pathlib import Path
import shutil
import tempfile
import unittest

from mydriver.trace import logs, trace
from tests.unit.trace import lines

NOVA, VOLUME = lines.NOVA, lines.VOLUME
LOGS = Path(__file__).parent / 'logs'
ATTACH = 'req-b23998ec-6613-462b-bb94-09b9fdb01bae'


class CopiesTest(unittest.TestCase):
    """A line of which there are copies counts once."""

    def setUp(self):
        super().setUp()
        self.folder = Path(self.enterContext(tempfile.TemporaryDirectory()))

    def traced(self, request=ATTACH):
        return trace.of(logs.Logs([str(self.folder)]), request)

    def test_the_same_steps_with_copies(self):
        shutil.copytree(LOGS / 'attach', self.folder, dirs_exist_ok=True)
        wanted = self.traced().to_dict()
        (self.folder / 'bundle').mkdir()
        for name in ('nova-compute.log.1', 'nova-compute-compute7.log',
                     'bundle/nova-compute.log'):
            shutil.copy(self.folder / 'nova-compute.log', self.folder / name)
        found = self.traced().to_dict()
        for one in (*found['steps'], *found['breakdown'], *found['pauses']):
            one['log'] = one['log'].removesuffix('-compute7')
        for key in ('outcome', 'duration_ms', 'pauses'):
            self.assertEqual(wanted[key], found[key], key)
        self.assertEqual([s['name'] for s in wanted['steps']],
                         [s['name'] for s in found['steps']])

    def test_equal_lines_of_one_file_or_of_two_hosts_are_two(self):
        log = lines.Log('nova-compute')
        log(1, f'Attaching volume {VOLUME} to x', NOVA)
        for _ in range(2):
            log(2, 'Again', NOVA)
        log.write(self.folder)
        self.assertEqual(3, len(self.traced(NOVA).lines))
        for name in ('a', 'b'):
            log.name = f'nova-compute-{name}'
            log.write(self.folder)
        (self.folder / 'nova-compute.log').unlink()
        self.assertEqual(6, len(self.traced(NOVA).lines))

    def test_a_copy_that_ends_in_a_traceback(self):
        log = lines.Log('nova-compute')
        log(1, 'Failed', NOVA, level='ERROR').traceback(1, 'x.Error: why')
        text = '\n'.join(log.lines)
        (self.folder / 'nova-compute.log').write_text(
            '\n'.join(log.lines[:2]) + '\n')
        (self.folder / 'nova-compute.log.1').write_text(text + '\n')
        found = self.traced(NOVA)
        self.assertEqual(1, len(found.lines))
        self.assertEqual('why', found.cause.text)

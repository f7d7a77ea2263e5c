# SPDX-License-Identifier: Apache-2.0
"""The manual pages: complete, and built without a warning."""

import importlib.metadata
from pathlib import Path
import re
import shutil
import subprocess
import sys
import tempfile
import unittest
from unittest import mock

from cliff import display
from oslo_upgradecheck import upgradecheck

from mydriver.cmd import main, setup, trace, upgrade_check
from mydriver.doctor import findings

SOURCE = Path(__file__).resolve().parents[3] / 'doc' / 'source'
_INDEX = 'x\n=\n\n.. toctree::\n   :glob:\n\n   man/*\n'


class ManTest(unittest.TestCase):
    """doc/source/man."""

    def entries(self, name):
        """Return the terms of the definition lists of a page."""
        return re.findall(r'^(\S.*)\n    \S',
                          (SOURCE / 'man' / f'{name}.rst').read_text(), re.M)

    def test_every_command_has_an_entry(self):
        self.assertEqual(
            {f'mydriver {name}' for name in
             (*main.COMMANDS, 'complete', 'help')},
            {e for e in self.entries('mydriver')
             if e.startswith('mydriver ')})

    def test_pages_name_commands_that_exist(self):
        named = {name for page in SOURCE.rglob('*.rst')
                 for name in re.findall(
                     r'``(?:/\S+/)?mydriver ([a-z]+(?: [a-z]+)?)',
                     page.read_text())}
        self.assertGreater(len(named), 15)
        for name in named:
            self.assertTrue({name, name.partition(' ')[0]}
                            & {*main.COMMANDS, 'complete', 'help'}, name)

    def test_every_exit_status_has_an_entry(self):
        statuses = {setup.SAME, setup.DIFFERS, setup.ERROR, trace.FAILED,
                    trace.UNFINISHED, *findings.WORDS, 130, 141}
        section = (SOURCE / 'man' / 'mydriver.rst').read_text().partition(
            'Exit status\n=')[2].partition('\nFiles\n')[0]
        self.assertEqual(statuses, {
            int(status) for term in re.findall(r'^(\d.*)\n    ', section, re.M)
            for status in term.split(', ')})

    def test_formats_that_are_promised(self):
        page = (SOURCE / 'man' / 'mydriver.rst').read_text()
        at = page.index('Commands that print a table accept')
        promised = set(re.findall('-f ([a-z]+)', page[at:].partition(
            '\nExit')[0])) | {'table'}
        offered = {}
        for name, value in main.COMMANDS.items():
            command = main.Entry(name, value).load()
            if issubclass(command, display.DisplayCommandBase):
                offered[name] = set(command(mock.Mock(), None)
                                    ._formatter_plugins.names())
        self.assertEqual(promised - {'csv'}, offered.pop('export show'))
        self.assertGreater(len(offered), 4)
        for name, formats in offered.items():
            self.assertEqual(promised - {'shell'}, formats, name)

    def test_every_check_has_an_entry(self):
        entries = self.entries('mydriver-status')
        for name, _check in upgrade_check.Checks._upgrade_checks:
            self.assertIn(name, entries)
        for code in upgradecheck.Code:
            self.assertIn(str(code.value), entries)

    def test_they_are_built(self):
        folder = Path(self.enterContext(tempfile.TemporaryDirectory()))
        for name in ('man', '_static'):
            shutil.copytree(SOURCE / name, folder / name)
        shutil.copy(SOURCE / 'conf.py', folder)
        (folder / 'index.rst').write_text(_INDEX)
        done = subprocess.run(
            [sys.executable, '-W', 'ignore', '-m', 'sphinx', '-W', '-q',
             '-b', 'man', str(folder), str(folder / 'built')],
            capture_output=True, text=True, check=False)
        self.assertEqual(0, done.returncode, done.stderr)
        number = importlib.metadata.version('mydriver')
        for name in ('mydriver', 'mydriver-status'):
            text = (folder / 'built' / f'{name}.8').read_text()
            self.assertRegex(
                text, rf'\.TH "{name.upper().replace("-", ".{1,2}")}" "8" '
                rf'.*"{re.escape(number)}"')
        text = (folder / 'built' / 'mydriver.8').read_text()
        for name in main.COMMANDS:
            self.assertIn(f'mydriver {name}', text)

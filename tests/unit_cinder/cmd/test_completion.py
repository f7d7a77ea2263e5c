# SPDX-License-Identifier: Apache-2.0
"""The completion for bash that the package contains."""

from pathlib import Path
import subprocess
import sys
import unittest
from unittest import mock

import ddt

from mydriver.cmd import main
from tools import completion

ROOT = Path(__file__).resolve().parents[3]
FILE = completion.FILE

#: What bash does, without the package bash-completion: the last word is the
#: one to complete.
_BASH = '''
_get_comp_words_by_ref() {
    words=("${line[@]}")
    cur=${line[-1]}
}
source "$1"
shift
line=("$@")
_mydriver
printf '%s\\n' "${COMPREPLY[@]}"
'''


@ddt.ddt
class CompletionTest(unittest.TestCase):
    """etc/bash-completion/mydriver."""

    def complete(self, *words):
        """Return what bash offers for the last word of a line."""
        done = subprocess.run(
            ['bash', '-c', _BASH, 'bash', str(FILE), 'mydriver', *words],
            capture_output=True, text=True, check=True, cwd=ROOT)
        self.assertEqual('', done.stderr)
        return done.stdout.split()

    def test_it_is_up_to_date(self):
        """If not: python -m tools.completion."""
        self.assertEqual(completion.script(), FILE.read_text())

    def test_it_is_complete_on_a_host_of_the_other_kind(self):
        """Only the options of commands that cannot be loaded are missing."""
        completion.script()  # the rest is imported, and stays
        with mock.patch.dict(sys.modules, {'mydriver.cmd.status': None}):
            script = completion.script()
        self.assertIn("  cmds_status=''\n", script)
        self.assertEqual(*([line for line in text.splitlines()
                            if 'cmds_status=' not in line]
                           for text in (script, FILE.read_text())))

    def test_every_command_is_offered(self):
        self.assertEqual(
            {name.split()[0] for name in (*main.COMMANDS, 'help complete')},
            {*self.complete('')} - {'complete'})

    @ddt.data((('sh',), ['show']), (('status', '--config-f'),
                                    ['--config-file']),
              (('show', '--form'), ['--format']), (('zz',), []),
              (('gat',), ['gateway']), (('gateway', 'd'), ['drain']),
              (('gateway', 'l'), ['list']),
              (('gateway', '--na'), ['--name']),
              (('gateway', 'drain', '--un'), ['--undo']),
              (('setup', ''), ['storage', 'compute']),
              (('doctor', 'c'), ['compute']),
              (('setup', 'storage', '--ins'), ['--install']),
              (('help', 'ga'), ['gateway']),
              (('-v', 'doctor', '--fi'), ['--fit-width', '--fix']),
              (('--debug', 'se'), ['session', 'setup']),
              (('show', 'a.b', '--form'), ['--format']))
    @ddt.unpack
    def test_words(self, words, expected):
        self.assertEqual(expected, self.complete(*words))

# SPDX-License-Identifier: Apache-2.0
"""The completion for bash that the package contains."""

import io
from pathlib import Path
import subprocess
import unittest

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
        return done.stdout.split()

    def test_it_is_up_to_date(self):
        """If not: python -m tools.completion."""
        self.assertEqual(completion.script(), FILE.read_text())

    def test_it_is_what_the_command_prints(self):
        """But for the order of words."""
        out = io.StringIO()
        self.assertEqual(0, main.main(
            ['complete', '--name', 'mydriver'], stdout=out,
            stderr=io.StringIO()))
        self.assertEqual(*(
            [sorted(line.split()) for line in text.replace(
                "'", ' ').splitlines()]
            for text in (out.getvalue(), FILE.read_text())))

    def test_every_command_is_offered(self):
        self.assertLessEqual({name.split()[0] for name in main.COMMANDS},
                             set(self.complete('')))

    @ddt.data((('sh',), ['show']), (('status', '--config-f'),
                                    ['--config-file']),
              (('show', '--form'), ['--format']), (('zz',), []),
              (('gateway', 'd'), ['drain']),
              (('gateway', '--na'), ['--name']),
              (('gateway', 'drain', '--un'), ['--undo']))
    @ddt.unpack
    def test_words(self, words, expected):
        self.assertEqual(expected, self.complete(*words))

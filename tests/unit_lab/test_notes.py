# SPDX-License-Identifier: Apache-2.0
"""The check of the release notes: that it reads them all, and can fail."""

import os
from pathlib import Path
import shutil
import subprocess
import sys
import tempfile
import unittest

from tools import notes

GOOD = '---\nfixes:\n  - |\n    A fault is mended.\n'


class NotesTest(unittest.TestCase):
    """A directory of release notes that is in no repository."""

    def setUp(self):
        super().setUp()
        self.folder = Path(self.enterContext(tempfile.TemporaryDirectory()))
        shutil.copytree(notes.ROOT / 'releasenotes/source',
                        self.folder / 'releasenotes/source')
        shutil.copy(notes.ROOT / 'releasenotes/config.yaml',
                    self.folder / 'releasenotes')
        (self.folder / 'releasenotes/notes').mkdir()
        self.add('good', GOOD)

    def add(self, name, text):
        """Write a note."""
        path = self.folder / f'releasenotes/notes/{name}-{len(name):016}.yaml'
        path.write_text(text)

    def run_it(self, **env):
        """Return the check's exit status, and all that it said."""
        done = subprocess.run(
            [sys.executable, '-m', 'tools.notes', str(self.folder / 'work'),
             '--source', str(self.folder / 'releasenotes')],
            cwd=notes.ROOT, env={**os.environ, **env}, check=False,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        return done.returncode, done.stdout

    def test_good_ones_make_a_document(self):
        # As git has it in a hook: what it points to is left alone.
        status, said = self.run_it(GIT_DIR='/nonexistent',
                                   GIT_INDEX_FILE='/nonexistent/index')
        self.assertEqual((0, ''), (status, said))
        self.assertIn('A fault is mended.', (
            self.folder / 'work/html/index.html').read_text())

    def test_markup_that_is_wrong(self):
        self.add('bad', GOOD.replace('fault', '``fault'))
        status, said = self.run_it()
        self.assertNotEqual(0, status)
        self.assertIn('Inline literal start-string', said)

    def test_section_that_is_none(self):
        self.add('bad', GOOD.replace('fixes', 'mends'))
        status, said = self.run_it()
        self.assertNotEqual(0, status)
        self.assertIn('unrecognized section name mends', said)

    def test_no_yaml(self):
        self.add('bad', GOOD + '  bad: [\n')
        status, said = self.run_it()
        self.assertNotEqual(0, status)
        self.assertIn('bad: [', said)

# SPDX-License-Identifier: Apache-2.0
"""The README's commands for a real cloud are those of the documentation."""

from pathlib import Path
import re
import unittest

ROOT = Path(__file__).resolve().parents[2]
CHAPTER = (ROOT / 'README.md').read_text().partition(
    '## On a real cloud')[2].partition('## More')[0]
PAGE = (ROOT / 'doc/source/install.rst').read_text()


def commands(text: str) -> set[str]:
    """Return the commands that a text shows, without comments."""
    return {line.partition('  #')[0].strip() for line in text.splitlines()
            if re.match(r' {4,12}[^\s#]', line)}


class ReadmeTest(unittest.TestCase):

    def test_commands_are_explained_on_the_page(self):
        shown = commands(CHAPTER)
        self.assertGreater(len(shown), 8)
        unknown = {c for c in shown - commands(PAGE)
                   if c.removeprefix('/opt/cinder/bin/').removeprefix(
                       '/opt/nova/bin/') not in PAGE}
        self.assertEqual(set(), unknown)

    def test_files_are_those_of_the_samples(self):
        for name in ('cinder', 'nova'):
            sample = f'/etc/mydriver/{name}.conf.sample'
            self.assertIn(sample, CHAPTER)
            self.assertIn(sample, PAGE)

    def test_links_exist(self):
        links = re.findall(r'\]\(([^)#]+)', (ROOT / 'README.md').read_text())
        self.assertGreater(len(links), 8)
        for link in links:
            self.assertTrue((ROOT / link).exists(), link)

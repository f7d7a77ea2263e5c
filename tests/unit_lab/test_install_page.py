# SPDX-License-Identifier: Apache-2.0
"""The installation page against bindep.txt and the command."""

import argparse
from pathlib import Path
import re
import unittest
from unittest import mock

from mydriver.cmd import setup
from mydriver.hostfiles import catalogue, choices

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / 'doc/source/install.rst').read_text()


def packages(profile: str) -> set[str]:
    """Return the Debian packages that bindep.txt names for a profile."""
    found = re.findall(r'^(\S+) +\[(.*)\]$',
                       (ROOT / 'bindep.txt').read_text(), re.M)
    return {name for name, selectors in found
            if {'platform:dpkg', profile} <= set(selectors.split())}


class InstallPageTest(unittest.TestCase):
    """doc/source/install.rst."""

    def test_packages_of_debian(self):
        common, storage, compute = (set(found.split()) for found in re.findall(
            r'^    apt-get install ([^#\n]+)', PAGE, re.M))
        self.assertEqual(set(), packages('storage') - common - storage)
        self.assertEqual(set(), packages('compute') - common - compute)

    def test_packages_are_in_the_table(self):
        for profile in ('storage', 'compute', 'rbd', 'native'):
            for name in packages(profile):
                self.assertRegex(PAGE, rf'[ ,]{re.escape(name)}[,\n]')

    def test_options(self):
        parser = setup.Setup(mock.Mock(), None).get_parser('setup')
        options = {o for action in parser._actions
                   if not isinstance(action, argparse._HelpAction)
                   for o in action.option_strings}
        self.assertGreater(len(options), 10)
        for option in options - {'--no-gateway'}:
            self.assertIn(f'``{option}', PAGE, option)

    def test_files(self):
        bindir = {'bindir': '/opt/venv/bin'}
        for kind, options in (
                (choices.COMPUTE, {}), (choices.STORAGE, {
                    'store': ['lvmthin', 'rbd'], 'gateway': True})):
            for file in catalogue.files(choices.choose(
                    kind, {**bindir, **options})):
                name = '/'.join(file.path.split('/')[-2:])
                name = name.replace(f'mydriver-{kind}', 'mydriver-KIND')
                if name.startswith(('target', 'tmpfiles')):
                    name = name.partition('.d/')[0]
                self.assertIn(name, PAGE)

    def test_statuses(self):
        for status in (setup.SAME, setup.DIFFERS, setup.ERROR):
            self.assertRegex(PAGE, rf'(?m)^{status}  +\S')

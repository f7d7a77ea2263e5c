# SPDX-License-Identifier: Apache-2.0
"""The page about deployments against the command and its files."""

import argparse
import configparser
from pathlib import Path
import re
import shlex
import textwrap
import unittest
from unittest import mock

import jinja2
import yaml

from mydriver.backend import opts
from mydriver.cmd import setup
from mydriver.hostfiles import choices, privsep

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / 'doc/source/deployments.rst').read_text()


def blocks(language: str) -> list[str]:
    """Return the code blocks in a language."""
    return [textwrap.dedent(found) for found in re.findall(
        rf'^ *\.\. code-block:: {language}\n\n((?:(?: +.*)?\n)+)', PAGE,
        re.M)]


def literal(after: str) -> str:
    """Return the literal block after a text."""
    return textwrap.dedent(re.findall(
        r'::\n\n((?:(?: {4}.*)?\n)+)', PAGE.partition(after)[2])[0])


class DeploymentsPageTest(unittest.TestCase):
    """doc/source/deployments.rst."""

    def commands(self) -> list[argparse.Namespace]:
        """Return the calls of ``mydriver setup``, parsed."""
        parser = setup.Setup(mock.Mock(), None).get_parser('setup')
        text = PAGE.replace('\\\n', ' ')
        return [parser.parse_args(shlex.split(found)) for found in re.findall(
            r'^ *(?:RUN |&& )?\S*bin/mydriver setup (.*)$', text, re.M)]

    def test_commands_are_accepted(self):
        commands = self.commands()
        self.assertGreater(len(commands), 5)
        for parsed in commands:
            choices.choose(parsed.kind, choices.merge(
                {'bindir': '/opt/x/bin', **vars(parsed)}, {}))

    def test_helper_commands_are_those_of_the_rule(self):
        shown = re.findall(
            r'helper_command[ =:]+"?sudo (\S+|\{\{ \w+ \}\})/privsep-helper '
            r'--config-file (\S+?)"?$', PAGE, re.M)
        self.assertEqual(5, len(shown))
        for bindir, file in shown:
            for kind, service in ((choices.STORAGE, 'cinder'),
                                  (choices.COMPUTE, 'nova')):
                if service in file:
                    self.assertEqual(
                        'sudo /b/privsep-helper --config-file ' + file,
                        privsep.helper_command(choices.choose(kind, {
                            'bindir': '/b', 'config_file': [file]})), bindir)

    def test_files_are_well_formed(self):
        for text in blocks('ini'):
            configparser.ConfigParser(interpolation=None).read_string(text)
        found = blocks('yaml')
        self.assertEqual(3, len(found))
        for text in found:
            self.assertTrue(yaml.safe_load(text))
        jinja2.Environment(autoescape=True).parse(
            literal('``/etc/kolla/template-overrides.j2``'))

    def test_options_of_a_backend_are_the_drivers(self):
        known = {o.name for o in opts.VOLUME_OPTS} | {
            'volume_driver', *opts.USED_OF_CINDER}
        file = configparser.ConfigParser(
            interpolation=None, default_section='none')
        file.read_string(blocks('ini')[0])
        backends = yaml.safe_load(blocks('yaml')[-1])[
            'storage_hosts']['storage1']['container_vars']['cinder_backends']
        self.assertEqual(dict(file['files']), {
            key: 'true' if value is True else str(value)
            for key, value in backends['files'].items()})
        self.assertEqual(set(), set(file['files']) - known)

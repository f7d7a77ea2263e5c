# SPDX-License-Identifier: Apache-2.0
"""Which releases of OpenStack and Python are refused, or warned of."""

import importlib.metadata
from pathlib import Path
import re
import sys
import tempfile
import tomllib
import unittest

import ddt

from mydriver import exception, releases
from mydriver.target.journal import schema
from tests.fakes import metadata

ROOT = Path(__file__).resolve().parents[2]
OLDEST, NEWEST = releases.SUPPORTED[0], releases.SUPPORTED[-1]
PYTHON = releases.PYTHONS[-1]


@ddt.ddt
class ConcernsTest(unittest.TestCase):
    """What is said of a version."""

    @ddt.data('cinder', 'nova')
    def test_those_that_are_supported(self, project):
        for release in releases.SUPPORTED:
            for end in ('.0.0', '.3.1', '.0.0.0rc1', '.0.1.dev12', ''):
                self.assertEqual([], releases.concerns(
                    project, f'{release.majors[project]}{end}', PYTHON))

    @ddt.data('cinder', 'nova')
    def test_older(self, project):
        found = f'{OLDEST.majors[project] - 1}.9.9'
        with self.assertRaises(exception.UnsupportedRelease) as caught:
            releases.concerns(project, found, PYTHON)
        for part in (f'{project} {found} is not supported', releases.own(),
                     *(f'{r.majors[project]} (OpenStack {r.name})'
                       for r in releases.SUPPORTED)):
            self.assertIn(part, str(caught.exception))

    @ddt.data('cinder', 'nova')
    def test_newer(self, project):
        found = f'{NEWEST.majors[project] + 1}.0.0'
        warning, = releases.concerns(project, found, PYTHON)
        self.assertIn(f'{project} {found} is newer', warning)
        self.assertIn(NEWEST.name, warning)

    @ddt.data(None, '', 'unknown', 'v29')
    def test_version_that_says_nothing(self, found):
        self.assertEqual([], releases.concerns('cinder', found, PYTHON))

    def test_python(self):
        found = f'{NEWEST.majors["cinder"]}.0.0'
        for python in releases.PYTHONS:
            self.assertEqual([], releases.concerns('cinder', found, python))
        warning, = releases.concerns('cinder', found,
                                     (PYTHON[0], PYTHON[1] + 1))
        self.assertIn('3.14 is newer', warning)


class CheckTest(unittest.TestCase):
    """The versions are those of the installed metadata."""

    def setUp(self):
        super().setUp()
        self.folder = self.enterContext(tempfile.TemporaryDirectory())
        sys.path.insert(0, self.folder)
        self.addCleanup(sys.path.remove, self.folder)

    def test_refused(self):
        metadata.write(self.folder, 'nova', '1.2.3')
        with self.assertRaisesRegex(exception.UnsupportedRelease,
                                    r'nova 1\.2\.3'):
            releases.check('nova')

    def test_warned_of(self):
        metadata.write(self.folder, 'cinder', '999.0.0')
        with self.assertLogs(releases.LOG.logger, 'WARNING') as logs:
            releases.check('cinder')
        self.assertIn('cinder 999.0.0 is newer', logs.output[0])

    def test_not_installed(self):
        self.assertIsNone(releases.version_of('mydriver-of-nobody'))
        releases.check('mydriver-of-nobody')

    def test_own(self):
        self.assertEqual(importlib.metadata.version('mydriver'),
                         releases.own())


class PyprojectTest(unittest.TestCase):
    """pyproject.toml lists the same versions of Python."""

    def setUp(self):
        super().setUp()
        self.project = tomllib.loads(
            (ROOT / 'pyproject.toml').read_text())['project']

    def test_classifiers(self):
        found = re.findall(r'Python :: (\d+)\.(\d+)$',
                           '\n'.join(self.project['classifiers']), re.M)
        self.assertEqual(list(releases.PYTHONS),
                         [(int(a), int(b)) for a, b in found])

    def test_requires_python(self):
        self.assertEqual('>={}.{}'.format(*releases.PYTHONS[0]),
                         self.project['requires-python'])

    def test_each_supported_release_is_pinned(self):
        """The newest one in constraints.txt, others in files with a name."""
        for release in releases.SUPPORTED:
            path = ROOT / ('constraints.txt' if release is NEWEST else
                           f'constraints-{release.name}.txt')
            pinned = dict(re.findall(r'^(cinder|nova)==(\d+)',
                                     path.read_text(), re.M))
            self.assertEqual(
                dict(release.majors),
                {name: int(major) for name, major in pinned.items()})
        self.assertEqual(len(releases.SUPPORTED),
                         len([*ROOT.glob('constraints*.txt')]))


class DocumentationTest(unittest.TestCase):
    """doc/source/upgrade.rst has the same numbers."""

    def setUp(self):
        super().setUp()
        self.text = (ROOT / 'doc' / 'source' / 'upgrade.rst').read_text()

    def test_releases_of_openstack(self):
        self.assertEqual(
            [(r.name, str(r.majors['cinder']), str(r.majors['nova']))
             for r in releases.SUPPORTED],
            re.findall(r'^(\d{4}\.\d) +(\d+) +(\d+)$', self.text, re.M))

    def test_versions_of_python(self):
        self.assertIn('Python, of which {}.{} to {}.{}'.format(
            *releases.PYTHONS[0], *releases.PYTHONS[-1]),
            ' '.join(self.text.split()))

    def test_version_of_the_journal(self):
        self.assertIn(f'version of its own, {schema.VERSION} at present',
                      ' '.join(self.text.split()))

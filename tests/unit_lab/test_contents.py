# SPDX-License-Identifier: Apache-2.0
"""What the checks of a release notice: planted faults, one at a time."""

import io
from pathlib import Path
import tarfile
import tempfile
import unittest
import zipfile

from tools import checklist, contents, hosts, probe

VERSION = '1.2.3'
INFO = f'mydriver-{VERSION}.dist-info/'


def a_file(name):
    """Return a file for a name that may be of a directory."""
    return f'{name}file' if name.endswith('/') else name


class SdistTest(unittest.TestCase):
    """The source distribution."""

    def setUp(self):
        super().setUp()
        self.repository = set(map(a_file, contents.IN_SDIST))
        self.found = self.repository | contents.GENERATED | {
            'mydriver.egg-info/SOURCES.txt'}

    def wrong(self):
        return contents.wrong_in_sdist(self.found, self.repository)

    def test_complete(self):
        self.assertEqual([], self.wrong())

    def test_each_of_them_is_missed(self):
        for name in contents.IN_SDIST:
            with self.subTest(name):
                self.repository.discard(a_file(name))
                self.found.discard(a_file(name))
                self.assertEqual([f'{name} is missing'], self.wrong())
                self.repository.add(a_file(name))
                self.found.add(a_file(name))

    def test_a_file_of_the_repository_is_missed(self):
        self.repository.add('doc/source/new.rst')
        self.assertEqual(
            ['doc/source/new.rst of the repository is missing'], self.wrong())

    def test_generated_files_are_missed(self):
        self.found.discard('ChangeLog')
        self.assertEqual(['ChangeLog is missing, which the build makes'],
                         self.wrong())

    def test_others_are_noticed(self):
        for name in ('.lab/venv/pyvenv.cfg', 'mydriver/x.pyc', 'build/a.py',
                     '.mypy_cache/a', 'tests/__pycache__/a', 'a.py~'):
            with self.subTest(name):
                self.found.add(name)
                self.assertEqual(
                    [f'{name} does not belong there',
                     f'{name} is what a build or a test leaves behind'],
                    self.wrong())
                self.found.discard(name)

    def test_listing(self):
        path = Path(self.enterContext(tempfile.TemporaryDirectory())) / 's'
        with tarfile.open(path, 'w:gz') as archive:
            for name in ('mydriver-1', 'mydriver-1/doc'):
                folder = tarfile.TarInfo(name)
                folder.type = tarfile.DIRTYPE
                archive.addfile(folder)
            archive.addfile(tarfile.TarInfo('mydriver-1/doc/a'), io.BytesIO())
        self.assertEqual({'doc/a'}, contents.in_sdist(path))


class WheelTest(unittest.TestCase):
    """The wheel."""

    def setUp(self):
        super().setUp()
        self.found = {a_file(n).replace('INFO/', INFO).replace(
            'DATA/', f'mydriver-{VERSION}.data/') for n in contents.IN_WHEEL}
        self.repository = {n for n in self.found
                           if n.startswith('mydriver/')} | {'tests/a.py'}

    def wrong(self):
        return contents.wrong_in_wheel(self.found, self.repository, VERSION)

    def test_complete(self):
        self.assertEqual([], self.wrong())

    def test_each_of_them_is_missed(self):
        for name in sorted(self.found):
            with self.subTest(name):
                self.found.discard(name)
                self.assertIn('is missing', ''.join(self.wrong()))
                self.found.add(name)

    def test_a_module_is_missed(self):
        self.repository.add('mydriver/new.py')
        self.assertEqual(['mydriver/new.py of the package is missing'],
                         self.wrong())

    def test_others_are_noticed(self):
        for name in ('tests/a.py', 'lab/a.py', 'mydriver/stray.py',
                     'mydriver-9.dist-info/METADATA'):
            with self.subTest(name):
                self.found.add(name)
                self.assertEqual([f'{name} does not belong there'],
                                 self.wrong())
                self.found.discard(name)


class RecordTest(unittest.TestCase):
    """RECORD: that of the files, and the same for the same files."""

    #: sha256 of nothing, and of another text.
    EMPTY = '47DEQpj8HBSa-_TImW-5JCeuQeRkm5NMpJWZG3hSuFU'

    def setUp(self):
        super().setUp()
        self.folder = Path(self.enterContext(tempfile.TemporaryDirectory()))

    def wheel(self, name, files, hashes=None, time=(2026, 1, 1, 0, 0, 0)):
        """Write a wheel; ``hashes`` are those that RECORD has."""
        path = self.folder / name
        record = ''.join(f'{n},sha256={h},0\n' for n, h in (
            hashes or dict.fromkeys(files, self.EMPTY)).items())
        with zipfile.ZipFile(path, 'w') as archive:
            for file, text in {**files, f'{INFO}RECORD':
                               f'{record}{INFO}RECORD,,\n'}.items():
                archive.writestr(zipfile.ZipInfo(file, time), text)
        return path

    def test_right(self):
        self.assertEqual([], contents.wrong_record(
            self.wheel('a', {'mydriver/a.py': ''})))

    def test_wrong(self):
        for expected, files, hashes in (
                ('mydriver/a.py has another hash than RECORD says',
                 {'mydriver/a.py': 'x'}, None),
                ('RECORD and the files differ in mydriver/b.py',
                 {'mydriver/a.py': '', 'mydriver/b.py': ''},
                 {'mydriver/a.py': self.EMPTY})):
            with self.subTest(expected):
                self.assertEqual([expected], contents.wrong_record(
                    self.wheel('a', files, hashes)))

    def test_times_make_no_difference(self):
        (self.folder / 'two').mkdir()
        self.assertEqual([], contents.differences(
            self.wheel('a', {'mydriver/a.py': ''}),
            self.wheel('two/a', {'mydriver/a.py': ''},
                       time=(2027, 2, 2, 2, 2, 2))))

    def test_differences(self):
        one = self.wheel('a', {'a.py': '', 'b.py': ''})
        two = self.wheel('b', {'a.py': 'x', 'c.py': ''},
                         {'a.py': 'other', 'c.py': self.EMPTY})
        self.assertEqual(
            ['one is a, the other b', 'only one has b.py',
             'only one has c.py', 'a.py differs'],
            contents.differences(one, two))


class HostTest(unittest.TestCase):
    """What is noticed in an environment."""

    def test_missing_modules(self):
        found = {'mydriver.a': {'lacks': 'rtslib_fb'},
                 'mydriver.b': {'lacks': 'tenacity'},
                 'mydriver.c': {'error': 'NameError: d'}}
        self.assertEqual(
            ['mydriver.b: tenacity is missing', 'mydriver.c: NameError: d'],
            hosts.wrong_imports(found, {'rtslib_fb'}))

    def test_help(self):
        output = ('Commands:\n  setup          Install\n'
                  '  top            Show\n'
                  'Could not load mydriver status: it needs '
                  'mydriver[storage]\n')
        self.assertEqual([], hosts.wrong_help(
            0, output, ['setup', 'status', 'top'], ['status']))
        for expected, *arguments in (
                ('show is not listed', 0, output,
                 ['setup', 'show', 'status', 'top'], ['status']),
                ('status cannot be loaded', 0, output,
                 ['setup', 'status', 'top'], []),
                ('top can be loaded', 0, output,
                 ['setup', 'status', 'top'], ['status', 'top']),
                ('exit status 1', 1, output, ['top'], []),
                ('it has a traceback', 0, f'{output}Traceback (most',
                 ['top'], [])):
            with self.subTest(expected):
                self.assertEqual([expected], hosts.wrong_help(*arguments))

    def test_refusal(self):
        self.assertEqual([], hosts.wrong_refusal(
            1, 'Install mydriver[storage].', 'mydriver[storage]'))
        for expected, *arguments in (
                ('exit status 0', 0, 'Install mydriver[storage].'),
                ('it has a traceback', 1, 'Traceback: mydriver[storage]'),
                ('it does not name mydriver[storage]', 1, 'No module')):
            with self.subTest(expected):
                self.assertEqual(expected, hosts.wrong_refusal(
                    *arguments, 'mydriver[storage]')[0])

    def test_every_module_is_probed(self):
        names = probe.names()
        self.assertIn('mydriver', names)
        self.assertIn('mydriver.cmd.main', names)
        self.assertTrue(probe.inside('mydriver.cmd.main', ['mydriver.cmd']))
        self.assertTrue(probe.inside('mydriver.cmd', ['mydriver.cmd']))
        self.assertFalse(probe.inside('mydriver.cmdx', ['mydriver.cmd']))


class ChecklistTest(unittest.TestCase):
    """The count, which is the last line."""

    def test_both_kinds(self):
        lines = []
        report = checklist.Checklist(lines.append)
        report.check('One', [], 'proof')
        report.check('Two', ['wrong', 'details'])
        self.assertEqual(1, report.close())
        self.assertEqual(
            ['  passed  One: proof', '  FAILED  Two',
             '            wrong', '            details',
             'failed: Two: wrong', '1 passed, 1 failed'], lines)

    def test_none_is_a_failure(self):
        self.assertEqual(1, checklist.Checklist(lambda _line: None).close())

# SPDX-License-Identifier: Apache-2.0
"""What a release consists of: every file of the repository, one number.

It is built once, from a repository whose only commit is the working tree with
the tag 1.2.3.
"""

import configparser
import json
from pathlib import Path
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
import tomllib
import unittest
import zipfile

from tools import dist, sbom

ROOT = dist.ROOT
TAG = '1.2.3'

#: What the source distribution has besides the repository's files: made by
#: pbr, reno and setuptools from git, for who has none.
GENERATED = {'AUTHORS', 'ChangeLog', 'PKG-INFO', 'RELEASENOTES.rst',
             'releasenotes/notes/reno.cache'}

#: Settings of git.
WHO = ('-c', 'user.name=Some One', '-c', 'user.email=someone@invalid',
       '-c', 'commit.gpgsign=false', '-c', 'tag.gpgsign=false')


def repository(folder: Path, tag: str = TAG) -> set[str]:
    """Make a repository of the working tree.

    :param tag: of its only commit, if not empty.
    :returns: its files.
    """
    names = set(filter(None, dist.git(
        'ls-files', '-z', '--cached', '--others', '--exclude-standard'
        ).split('\0')))
    files = {name for name in names if (ROOT / name).is_file()}
    for name in files:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(ROOT / name, path)
    dist.git('init', '--quiet', cwd=folder)
    dist.git('add', '--force', '--all', cwd=folder)
    dist.git(*WHO, 'commit', '--quiet', '--no-verify', '-m', 'All',
             cwd=folder)
    if tag:
        dist.git(*WHO, 'tag', tag, cwd=folder)
    return files


#: Prints what shows a number, in an interpreter that has a wheel first.
NUMBERS = """
import importlib.metadata, sys
sys.path.insert(0, sys.argv[1])
sys.argv[0] = 'mydriver'
from mydriver import releases
from mydriver.cinder_volume import driver
from mydriver.cmd import main
print(driver.LIODriver.VERSION, releases.own(), flush=True)
print(importlib.metadata.version('mydriver'), flush=True)
main.main(['--version'])
"""


def numbers(wheel: Path) -> set[str]:
    """Return the versions that a wheel shows."""
    done = subprocess.run(
        [sys.executable, '-W', 'ignore', '-c', NUMBERS, str(wheel)], cwd='/',
        capture_output=True, text=True, check=True, timeout=300)
    return set(done.stdout.split()) - {'mydriver'}


class DistTest(unittest.TestCase):
    """The three files of a release."""

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        folder = Path(cls.enterClassContext(tempfile.TemporaryDirectory()))
        (folder / 'tree').mkdir()
        cls.files = repository(folder / 'tree')
        # What lies about in a working tree is not part of a release.
        (folder / 'tree' / 'mydriver' / 'stray.py').write_text('x = 1\n')
        (folder / 'out').mkdir()
        (folder / 'out' / 'mydriver-0.9.tar.gz').write_text('')
        cls.sdist, cls.wheel, cls.bill = dist.release(
            folder / 'out', folder / 'tree')
        cls.out = folder / 'out'
        with zipfile.ZipFile(cls.wheel) as archive:
            cls.in_wheel = set(archive.namelist())
        with tarfile.open(cls.sdist) as archive:
            cls.in_sdist = {
                m.name.partition('/')[2] for m in archive.getmembers()
                if not m.isdir()}

    def info(self, name):
        """Return a file of the wheel's metadata."""
        with zipfile.ZipFile(self.wheel) as archive:
            return archive.read(
                f'mydriver-{TAG}.dist-info/{name}').decode()

    def test_nothing_else_is_in_the_folder(self):
        self.assertEqual({self.sdist, self.wheel, self.bill},
                         set(self.out.iterdir()))

    def test_one_number(self):
        self.assertEqual(
            [f'mydriver-{TAG}.tar.gz', f'mydriver-{TAG}-py3-none-any.whl',
             f'mydriver-{TAG}-py3-none-any.cdx.json'],
            [p.name for p in (self.sdist, self.wheel, self.bill)])
        self.assertEqual({TAG}, numbers(self.wheel))

    def test_one_number_in_the_notes(self):
        """Of the source distribution: RELEASENOTES.rst and ChangeLog."""
        with tarfile.open(self.sdist) as archive:
            notes, changes = (archive.extractfile(
                f'mydriver-{TAG}/{name}').read().decode()
                for name in ('RELEASENOTES.rst', 'ChangeLog'))
        self.assertRegex(notes, rf'\n{re.escape(TAG)}\n=+\n')
        self.assertRegex(changes, rf'\n{re.escape(TAG)}\n-+\n')

    def test_source_distribution_has_every_file(self):
        found = {name for name in self.in_sdist
                 if not name.startswith('mydriver.egg-info/')}
        self.assertEqual(self.files | GENERATED, found)
        for name in ('Makefile', 'README.md', 'bindep.txt', 'constraints.txt',
                     'constraints-2026.1.txt',
                     'tests/unit_lab/test_dist.py', 'doc/source/index.rst',
                     'lab/__main__.py', 'tools/dist.py', '.zuul.yaml'):
            self.assertIn(name, found)

    def test_wheel_has_the_package(self):
        package = {name for name in self.files
                   if name.startswith('mydriver/')}
        self.assertEqual(package, {name for name in self.in_wheel
                                   if name.startswith('mydriver/')})
        self.assertIn('mydriver/py.typed', package)

    def test_wheel_has_the_hosts_files(self):
        project = tomllib.loads((ROOT / 'pyproject.toml').read_text())
        wanted = {f'mydriver-{TAG}.data/data/{folder}/{Path(name).name}'
                  for folder, names in project['tool']['setuptools'].get(
                      'data-files', {}).items() for name in names}
        self.assertEqual(wanted, {name for name in self.in_wheel
                                  if '.data/' in name})

    def test_wheel_has_no_more(self):
        prefixes = ('mydriver/', f'mydriver-{TAG}.data/',
                    f'mydriver-{TAG}.dist-info/')
        self.assertEqual(set(), {name for name in self.in_wheel
                                 if not name.startswith(prefixes)})
        self.assertIn(f'mydriver-{TAG}.dist-info/licenses/LICENSE',
                      self.in_wheel)

    def test_entry_points(self):
        project = tomllib.loads(
            (ROOT / 'pyproject.toml').read_text())['project']
        found = configparser.ConfigParser(delimiters='=')
        found.optionxform = str
        found.read_string(self.info('entry_points.txt'))
        self.assertEqual(
            {'console_scripts': project['scripts'],
             **project['entry-points']},
            {name: dict(found[name]) for name in found.sections()})

    def test_tarball_makes_the_same_wheel(self):
        """Unpacked, where there is no git."""
        folder = Path(self.enterContext(tempfile.TemporaryDirectory()))
        shutil.unpack_archive(str(self.sdist), folder)
        tree, = folder.iterdir()
        self.assertFalse((tree / '.git').exists())
        dist.build(tree, folder / 'out', '--wheel')
        wheel, = (folder / 'out').iterdir()
        self.assertEqual(self.wheel.name, wheel.name)
        contents = []
        for path in (self.wheel, wheel):
            with zipfile.ZipFile(path) as archive:
                contents.append({n: archive.read(n)
                                 for n in archive.namelist()})
        self.assertEqual(*contents)
        self.assertEqual({TAG}, numbers(wheel))

    def test_without_a_tag(self):
        """One number all the same, which says that it is no release."""
        folder = Path(self.enterContext(tempfile.TemporaryDirectory()))
        (folder / 'tree').mkdir()
        repository(folder / 'tree', tag='')
        # pbr counts the commits after the first one.
        dist.git(*WHO, 'commit', '--quiet', '--no-verify', '--allow-empty',
                 '-m', 'More', cwd=folder / 'tree')
        sdist, wheel, _ = dist.release(folder / 'out', folder / 'tree')
        found = numbers(wheel)
        self.assertEqual(1, len(found), found)
        number, = found
        self.assertRegex(number, r'^\d+\.\d+\.\d+\.dev\d+$')
        self.assertEqual(f'mydriver-{number}.tar.gz', sdist.name)
        shutil.unpack_archive(str(sdist), folder)
        dist.build(folder / f'mydriver-{number}', folder / 'again', '--wheel')
        again, = (folder / 'again').iterdir()
        self.assertEqual(found, numbers(again))

    def test_bill(self):
        found = json.loads(self.bill.read_text())
        self.assertEqual(
            f'pkg:pypi/mydriver@{TAG}',
            found['metadata']['component']['purl'])
        self.assertEqual(sbom.bill(self.wheel), found)

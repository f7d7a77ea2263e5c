# SPDX-License-Identifier: Apache-2.0
"""What a release consists of: every file of the repository, one number.

It is built once, from a repository whose only commit is the working tree with
the tag 1.2.3.
"""

import configparser
import json
from pathlib import Path
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


def repository(folder: Path) -> set[str]:
    """Make a repository of the working tree, with a tag.

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
    who = ('-c', 'user.name=Some One', '-c', 'user.email=someone@invalid',
           '-c', 'commit.gpgsign=false', '-c', 'tag.gpgsign=false')
    dist.git('init', '--quiet', cwd=folder)
    dist.git('add', '--force', '--all', cwd=folder)
    dist.git(*who, 'commit', '--quiet', '--no-verify', '-m', 'All',
             cwd=folder)
    dist.git(*who, 'tag', TAG, cwd=folder)
    return files


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
        # What shows a number, in an interpreter that has this wheel first.
        code = (
            f'import sys; sys.path.insert(0, {str(self.wheel)!r})\n'
            'from mydriver.cinder_volume import driver\n'
            'from mydriver.cmd import main\n'
            'print(driver.LIODriver.VERSION, flush=True)\n'
            'main.main(["--version"])')
        done = subprocess.run(
            [sys.executable, '-W', 'ignore', '-c', code], cwd='/',
            capture_output=True, text=True, check=False, timeout=300)
        self.assertEqual(0, done.returncode, done.stderr)
        number, shown = done.stdout.split('\n')[:2]
        self.assertEqual((TAG, TAG), (number, shown.split()[-1]))

    def test_source_distribution_has_every_file(self):
        found = {name for name in self.in_sdist
                 if not name.startswith('mydriver.egg-info/')}
        self.assertEqual(self.files | GENERATED, found)
        for name in ('Makefile', 'README.md', 'bindep.txt', 'constraints.txt',
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

    def test_bill(self):
        found = json.loads(self.bill.read_text())
        self.assertEqual(
            f'pkg:pypi/mydriver@{TAG}',
            found['metadata']['component']['purl'])
        self.assertEqual(sbom.bill(self.wheel), found)

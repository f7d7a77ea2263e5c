# SPDX-License-Identifier: Apache-2.0
"""What a source distribution and a wheel must have, and must not have.

Each function returns what is wrong, as lines; no line is good news.
"""

import base64
from collections.abc import Iterable, Iterator
import csv
import hashlib
import io
from pathlib import Path
import re
import tarfile
import zipfile

PACKAGE = 'mydriver'

#: What the source distribution has besides the repository's files: made by
#: pbr, reno and setuptools from git, for who has none.
GENERATED = frozenset({
    'AUTHORS', 'ChangeLog', 'PKG-INFO', 'RELEASENOTES.rst',
    'releasenotes/notes/reno.cache'})

#: Files and directories (with a slash at the end) without which a source
#: distribution cannot be tested, documented or packaged.
IN_SDIST = (
    '.zuul.yaml', 'LICENSE', 'Makefile', 'README.md', 'bindep.txt',
    'constraints.txt', 'devstack/', 'doc/source/', 'etc/', 'lab/',
    'pyproject.toml', 'releasenotes/notes/', 'test-requirements.txt',
    'tests/contract/', 'tests/functional/', 'tests/unit/',
    'tests/unit_cinder/', 'tests/unit_lab/', 'tests/unit_nova/', 'tools/')

#: The same, of a wheel; DATA and INFO stand for its own directories.
IN_WHEEL = (
    'mydriver/cmd/monitoring/alerts.yaml',
    'mydriver/cmd/monitoring/dashboard.json', 'mydriver/hostfiles/templates/',
    'mydriver/py.typed', 'DATA/data/share/bash-completion/completions/',
    'INFO/METADATA', 'INFO/entry_points.txt', 'INFO/licenses/LICENSE')

#: What lies about in a working tree.
_STRAY = re.compile(
    r'(^|/)(\.git|\.lab|\.stestr|\.tox|\.venv|\.hypothesis|[^/]*_cache|'
    r'__pycache__|build|dist)/|\.(pyc|pyo|orig|rej|swp)$|~$')


def in_sdist(path: Path) -> set[str]:
    """Return the files of a source distribution, below its one directory."""
    with tarfile.open(path) as archive:
        return {member.name.partition('/')[2] for member
                in archive.getmembers() if not member.isdir()}


def in_wheel(path: Path) -> set[str]:
    """Return the files of a wheel."""
    with zipfile.ZipFile(path) as archive:
        return set(archive.namelist())


def wrong_in_sdist(found: set[str], repository: set[str]) -> list[str]:
    """Return what is wrong with a source distribution.

    :param found: its files.
    :param repository: files of the commit that it was built from.
    """
    found = {name for name in found
             if not name.startswith(f'{PACKAGE}.egg-info/')}
    return [
        *_missing(found - GENERATED, IN_SDIST),
        *(f'{name} of the repository is missing'
          for name in sorted(repository - found)),
        *(f'{name} is missing, which the build makes'
          for name in sorted(GENERATED - found)),
        *(f'{name} does not belong there'
          for name in sorted(found - repository - GENERATED)),
        *_stray(found)]


def wrong_in_wheel(found: set[str], repository: set[str],
                   version: str) -> list[str]:
    """Return what is wrong with a wheel.

    :param found: its files.
    :param repository: files of the commit that it was built from.
    :param version: its version.
    """
    folders = {f'{PACKAGE}-{version}.data/': 'DATA/',
               f'{PACKAGE}-{version}.dist-info/': 'INFO/'}
    named = set()
    for name in found:
        for folder, short in folders.items():
            if name.startswith(folder):
                name = short + name.removeprefix(folder)
        named.add(name)
    package = {n for n in repository if n.startswith(f'{PACKAGE}/')}
    code = {n for n in named if not n.startswith(('DATA/', 'INFO/'))}
    return [
        *_missing(named, IN_WHEEL),
        *(f'{name} of the package is missing'
          for name in sorted(package - code)),
        *(f'{name} does not belong there' for name in sorted(code - package)),
        *_stray(named)]


def _missing(found: set[str], wanted: Iterable[str]) -> Iterator[str]:
    for name in wanted:
        if not (any(n.startswith(name) for n in found) if name.endswith('/')
                else name in found):
            yield f'{name} is missing'


def _stray(found: set[str]) -> Iterator[str]:
    for name in sorted(filter(_STRAY.search, found)):
        yield f'{name} is what a build or a test leaves behind'


def record(wheel: Path) -> dict[str, str]:
    """Return the files of a wheel's RECORD, with their hashes.

    It has no times, so two builds of the same files have the same.
    """
    with zipfile.ZipFile(wheel) as archive:
        name, = (n for n in archive.namelist()
                 if n.endswith('.dist-info/RECORD'))
        return {row[0]: row[1] for row in csv.reader(
            io.StringIO(archive.read(name).decode())) if row}


def wrong_record(wheel: Path) -> list[str]:
    """Return where a wheel's RECORD differs from its files."""
    listed = record(wheel)
    own = {name for name in listed if name.endswith('.dist-info/RECORD')}
    wrong = []
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
        for name in sorted(names & listed.keys() - own):
            digest = base64.urlsafe_b64encode(hashlib.sha256(
                archive.read(name)).digest()).rstrip(b'=').decode()
            if listed[name] != f'sha256={digest}':
                wrong.append(f'{name} has another hash than RECORD says')
    return [*wrong, *(f'RECORD and the files differ in {name}'
                      for name in sorted(names ^ listed.keys()))]


def differences(first: Path, second: Path) -> list[str]:
    """Return in what two wheels differ, apart from times."""
    one, two = record(first), record(second)
    return [
        *([] if first.name == second.name else
          [f'one is {first.name}, the other {second.name}']),
        *(f'only one has {name}' for name in sorted(one.keys() ^ two.keys())),
        *(f'{name} differs' for name in sorted(one.keys() & two.keys())
          if one[name] != two[name])]

# SPDX-License-Identifier: Apache-2.0
"""Run the unit tests with other versions of Python (``make test-python``).

Each version gets two new environments with the versions in
``constraints.txt``: one for the tests of the engine, without cinder and nova,
and one for the tests of the two plugins. The interpreters are those of the
machine, or that of another release of Debian (:mod:`tools.roots`).

librados' Python module comes with the distribution, for its own Python. For
another one, the tests in :data:`CEPH` are left out, which is said.

The last line is ``N passed, N failed``.
"""

import argparse
from collections.abc import Iterator, Sequence
import dataclasses
import os
from pathlib import Path
import shutil
import subprocess
import sys
import time

from mydriver import releases
from tools import check, roots, suite, venvs

FOLDER = suite.ROOT / '.lab' / 'python'
RESULT = suite.ROOT / '.lab' / 'python.json'

#: What each environment gets: extras, requirements.
ENGINE = ('storage', 'tests/unit/requirements.txt')
PLUGINS = ('storage,compute', 'tests/unit_cinder/requirements.txt')

#: Tests that need librados' module, as a regular expression.
CEPH = r'tests\.unit\.ceph\.test_(cluster|fence)'

_VERSION = 'import platform; print(platform.python_version())'
_PREFIX = 'import sys; print(sys.base_prefix)'
_LIBRADOS = 'import rados, rbd'

#: What a copy of an interpreter does without.
_LEFT_OUT = ('__pycache__', 'site-packages', 'test', 'idlelib', 'tkinter',
             '*.a')

#: Seconds for the tests of one directory, also where they share the machine.
_TIMEOUT_S = 3600


class PythonError(Exception):
    """There is no such interpreter; the text says what to do."""


def version_of(program: str) -> str:
    """Return the version of an interpreter, an empty text if it has none.

    The programs that pyenv puts into the PATH exist for versions that are not
    active, and fail.
    """
    try:
        done = subprocess.run([program, '-c', _VERSION], check=False,
                              capture_output=True, text=True, timeout=60)
    except OSError:
        return ''
    return '' if done.returncode else done.stdout.strip()


def candidates(version: str) -> Iterator[str]:
    """Yield the paths where an interpreter of a version may be.

    :param version: such as ``3.12``.
    """
    if found := shutil.which(f'python{version}'):
        yield found
    root = Path(os.environ.get('PYENV_ROOT') or Path.home() / '.pyenv')
    yield from map(str, sorted(root.glob(
        f'versions/{version}.*/bin/python'), reverse=True))


def interpreter(word: str) -> str:
    """Return an interpreter.

    :param word: its path, or a version such as ``3.12``.
    :raises PythonError: when there is none.
    """
    if os.sep in word:
        if not version_of(word):
            raise PythonError(f'{word} is no Python. Name another one.')
        return word
    for path in candidates(word):
        if f'{version_of(path)}.'.startswith(f'{word}.'):
            return path
    raise PythonError(
        f'There is no Python {word} in the PATH, nor of pyenv. Install one, '
        f'or name it: make test-python PYTHONS=/path/to/python{word}. Without '
        f'it, nothing is known of mydriver on Python {word}.')


def for_everybody(program: str, folder: Path) -> str:
    """Return an interpreter that other users may run: some tests become one.

    :param program: the interpreter; it is returned if they may.
    :param folder: for a copy of it otherwise, as of one in root's home.
    """
    prefix = Path(subprocess.run(
        [program, '-c', _PREFIX], check=True, capture_output=True, text=True,
        timeout=60).stdout.strip())
    if all(p.stat().st_mode & 0o001 for p in (prefix, *prefix.parents)):
        return program
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(prefix, folder, symlinks=True,
                    ignore=shutil.ignore_patterns(*_LEFT_OUT))
    return str(folder / 'bin' / 'python3')


@dataclasses.dataclass(frozen=True, slots=True)
class Interpreter:
    """An interpreter, and where it is.

    :param name: for people.
    :param program: its path.
    :param root: of the Debian that it belongs to, None for this machine.
    """

    name: str
    program: str
    root: roots.Root | None = None

    def enter(self, *words: str) -> tuple[str, ...]:
        """Return the command that runs another one where it is.

        There is no git in a root, so pbr has to be told the version.
        """
        if self.root is None:
            return words
        return self.root.command(
            'env', f'PBR_VERSION={releases.own()}', *words)


def find(word: str) -> Interpreter:
    """Return an interpreter.

    :param word: its path, a version such as ``3.12``, or one of
        :data:`tools.roots.RELEASES`, which is installed if it is missing. That
        is done for a version, too, if this machine does not have it.
    :raises PythonError: when there is none.
    :raises RootError: when a release of Debian cannot be installed.
    """
    if word in roots.RELEASES:
        root = roots.Root(word)
        root.make()
        return Interpreter(f'Debian {word}, Python {roots.RELEASES[word]}',
                           f'/usr/bin/python{roots.RELEASES[word]}', root)
    try:
        program = interpreter(word)
    except PythonError:
        for release, version in roots.RELEASES.items():
            if word == version:
                return find(release)
        raise
    name = f'Python {version_of(program)}'
    return Interpreter(name, for_everybody(
        program, FOLDER / f'{name.replace(" ", "-")}-copy'))


def fill(folder: Path, found: Interpreter, extras: str, requirements: str
         ) -> venvs.Venv:
    """Make an environment with the project, and what its tests need.

    :param extras: those of the project, separated by commas.
    :param requirements: a file, relative to the repository.
    :raises VenvError: when something cannot be installed.
    """
    venv = venvs.Venv(folder, found.program, found.enter)
    if found.root:
        found.root.link_ceph(folder)
    venv.install('-r', str(suite.ROOT / requirements))
    venv.install('--no-build-isolation', '-e', f'{suite.ROOT}[{extras}]')
    return venv


def stages(found: Interpreter) -> list[suite.Stage]:
    """Make the environments of an interpreter; return its stages.

    :raises VenvError: when something cannot be installed.
    """
    folder = FOLDER / found.name.replace(', ', '-').replace(' ', '-')
    engine = fill(folder / 'engine', found, *ENGINE)
    plugins = fill(folder / 'plugins', found, *PLUGINS)
    has_librados = engine.run('python', '-c', _LIBRADOS).returncode == 0
    made = []
    for name, path, venv, left_out in (
            ('engine' if has_librados else 'engine, without librados',
             'tests/unit', engine, '' if has_librados else CEPH),
            ('cinder', 'tests/unit_cinder', plugins, ''),
            ('nova', 'tests/unit_nova', plugins, '')):
        made.append(suite.Stage(
            f'{found.name}, {name}', venv.command(
                '-m', 'stestr', '--test-path', path, 'run', '--subunit',
                *(('--exclude-regex', left_out) if left_out else ())),
            _TIMEOUT_S, tests=True))
    return made


def main(argv: Sequence[str] | None = None) -> int:
    """Run from the command line; return the exit status."""
    here = sys.version_info[:2]
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        'python', nargs='*', help='version or path of an interpreter, or '
        f'{", ".join(roots.RELEASES)} for that of this release of Debian; by '
        'default all supported versions but the one that make test uses',
        default=['{}.{}'.format(*v) for v in releases.PYTHONS if v != here])
    parser.add_argument(
        '--only', metavar='WORD', default='', help='only the tests whose '
        "stage's name has this word: engine, cinder or nova")
    args = parser.parse_args(argv)
    runner = check.Runner(suite.STATE, lambda line: print(line, flush=True))
    start = time.monotonic()
    for word in args.python:
        try:
            found = find(word)
            print(f'{found.name}: {found.program}', flush=True)
            runner.run([s for s in stages(found) if args.only in s.name], 1)
        except (PythonError, roots.RootError, venvs.VenvError) as e:
            runner.fail(word, str(e))
    return check.conclude(runner.outcomes, RESULT, start)


if __name__ == '__main__':
    sys.exit(main())

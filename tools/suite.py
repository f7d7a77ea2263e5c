# SPDX-License-Identifier: Apache-2.0
"""The stages of ``make test``: what each runs, and how it is judged."""

from collections.abc import Callable
import dataclasses
from pathlib import Path
import re
import sys

from lab.bootstrap import releases

ROOT = Path(__file__).resolve().parent.parent
STATE = ROOT / '.lab' / 'check'

#: Scripts that are linted. Those of the lab read files that only nodes have.
SHELL = ('.ci/run', 'devstack/override-defaults', 'devstack/plugin.sh',
         'devstack/settings')

#: The functional tests that take longest, the longest one first. They start
#: first, so that none of them runs alone at the end.
LONGEST = ('test_crash_shared_rbd', 'test_store_lvmthin', 'test_hostile',
           'test_store_rbd', 'test_overtaken', 'test_crash_store_rbd',
           'test_driver_rbd', 'test_floating')

#: Directory of the functional tests that need a Ceph.
CEPH = Path('tests', 'functional', 'ceph')

#: Names of the functional tests of ``mydriver doctor`` begin so. Each takes
#: minutes, so they have a target of their own.
DOCTOR = 'test_doctor_'

#: Timeouts in seconds, generous for shared and busy machines. A node has a
#: timeout of its own; the grace time is for a node that fails to end.
CHECK_TIMEOUT_S = 600
UNIT_TIMEOUT_S = 1800
NODE_TIMEOUT_S = 1200
NODE_GRACE_S = 120

#: Tests that do not run with one more release of OpenStack, by directory.
LEFT_OUT = {
    '2026.1': {
        # Half of the time of these tests, and nothing of OpenStack in them:
        # all states of a model of gateways, and parsers fed with anything.
        'tests/unit': r'\.gateways\.test_model\.|\.test_(\w+_)?fuzz',
        # Cinder 28 has green threads only. The manual pages are built with
        # the documentation's theme, which this environment does not have.
        'tests/unit_cinder': r'\.test_native_mode\.|\.test_they_are_built',
    },
}

#: Fails in an environment that has cinder or nova.
_NEITHER = ('import importlib.util as u; found = [n for n in '
            '("cinder", "nova") if u.find_spec(n)]; assert not found, found')


@dataclasses.dataclass(frozen=True, slots=True)
class Stage:
    """A command that is a check, or that runs tests.

    :param name: for the report.
    :param command: program and arguments.
    :param timeout_s: time after which it is stopped, seconds.
    :param tests: its standard output is a subunit stream of tests; otherwise
        its exit status is the result.
    :param judge: examines the output of a check that exited with 0; returns
        what is wrong, or an empty text.
    :param ceph: it starts a Ceph.
    :param part: of all tests: ``ceph``, ``doctor`` or ``test``.
    """

    name: str
    command: tuple[str, ...]
    timeout_s: float
    tests: bool = False
    judge: Callable[[str], str] = lambda _output: ''
    ceph: bool = False
    part: str = 'test'


def python(*arguments: str) -> tuple[str, ...]:
    """Return a command for this interpreter."""
    return (sys.executable, *arguments)


def contracts_judge(output: str) -> str:
    """Return an error unless import-linter has kept at least one contract."""
    kept = re.search(r'Contracts: (\d+) kept, 0 broken', output)
    return '' if kept and int(kept[1]) else 'no import contract was kept'


def static_stages() -> list[Stage]:
    """Return the checks: types, imports, lint, documentation, notes."""
    bin_dir = Path(sys.executable).parent
    return [
        Stage('types (mypy)', python('-m', 'mypy'), CHECK_TIMEOUT_S),
        Stage('import contract', (str(bin_dir / 'lint-imports'), '--no-logo'),
              CHECK_TIMEOUT_S, judge=contracts_judge),
        Stage('lint (ruff)', python('-m', 'ruff', 'check', '--quiet',
                                    '--output-format', 'concise', '.'),
              CHECK_TIMEOUT_S),
        Stage('lint (hacking)',
              python('-m', 'flake8', 'mydriver', 'lab', 'tests', 'tools'),
              CHECK_TIMEOUT_S),
        Stage('lint (shell)', ('shellcheck', *(str(ROOT / name)
                                               for name in SHELL)),
              CHECK_TIMEOUT_S),
        documentation_stage(ROOT / 'doc' / 'source', STATE / 'doc'),
        Stage('release notes', python('-m', 'tools.notes',
                                      str(STATE / 'notes')),
              CHECK_TIMEOUT_S),
    ]


def documentation_stage(source: Path, built: Path) -> Stage:
    """Return the stage that builds a document; any warning is an error.

    :param source: directory of the text and its ``conf.py``.
    :param built: directory for the result; existing content is not reused.
    """
    return Stage('documentation', python(
        '-m', 'sphinx', '-W', '--keep-going', '-q', '-E', '-b', 'html',
        str(source), str(built)), CHECK_TIMEOUT_S)


def unit_stages() -> list[Stage]:
    """Return the unit tests; stestr runs each stage on all cores.

    Those of the engine run in an environment without cinder and nova. The
    others have stages of their own because cinder and nova cannot be imported
    into one process, see tests/unit_nova/__init__.py.
    """
    engine = environment('engine')
    return [
        Stage('the engine has neither cinder nor nova',
              (engine, '-c', _NEITHER), CHECK_TIMEOUT_S),
        unit_stage('engine', 'tests/unit', engine),
        unit_stage('cinder', 'tests/unit_cinder'),
        unit_stage('nova', 'tests/unit_nova'),
        unit_stage('lab', 'tests/unit_lab'),
        *(stage for release in releases.others()
          for stage in release_stages(release)),
    ]


def release_stages(release: str) -> list[Stage]:
    """Return the unit tests that need cinder, nova or libraries of theirs.

    They run with one more release of OpenStack, in an environment that has
    it.
    """
    program = environment(f'unit-{release}')
    left_out = LEFT_OUT.get(release, {})
    return [unit_stage(f'{name}, {release}', path, program,
                       left_out.get(path, ''))
            for name, path in (('engine', 'tests/unit'),
                               ('cinder', 'tests/unit_cinder'),
                               ('nova', 'tests/unit_nova'))]


def environment(name: str) -> str:
    """Return the interpreter of an environment below ``.lab``."""
    return str(ROOT / '.lab' / name / 'bin' / 'python')


def unit_stage(name: str, path: str, program: str = sys.executable,
               left_out: str = '') -> Stage:
    """Return the stage of a directory of unit tests.

    :param path: of the directory, relative to the repository.
    :param program: the interpreter of the environment to run them in.
    :param left_out: regular expression of tests that are not run.
    """
    return Stage(f'unit tests ({name})', (
        program, '-m', 'stestr', '--test-path', path, 'run', '--subunit',
        *(['--exclude-regex', left_out] if left_out else [])),
        UNIT_TIMEOUT_S, tests=True)


def functional_stages(root: Path = ROOT) -> list[Stage]:
    """Return a stage for each module of functional tests, in their order.

    :param root: the repository.
    """
    return [node_stage(path.relative_to(root)) for path in sorted(
        root.glob('tests/functional/**/test_*.py'),
        key=lambda path: (_rank(path), path))]


def _rank(path: Path) -> int:
    """Return the place of a module among those that take longest."""
    return (LONGEST.index(path.stem) if path.stem in LONGEST
            else len(LONGEST))


def node_stage(module: Path) -> Stage:
    """Return the stage that runs a module's tests in a kernel node.

    Those in :data:`CEPH` get a Ceph, a new one for each module.

    :param module: its path below the repository.
    """
    name = '.'.join(module.with_suffix('').parts)
    ceph = module.is_relative_to(CEPH)
    return Stage(
        f'node {name.removeprefix("tests.functional.")}',
        python('-m', 'lab', 'kernel', 'run', *(['--ceph'] if ceph else []),
               '--disk', '4G', '--timeout', str(NODE_TIMEOUT_S), '--',
               *python('-m', 'subunit.run', name)),
        NODE_TIMEOUT_S + NODE_GRACE_S, tests=True, ceph=ceph,
        part='ceph' if ceph else
        'doctor' if module.name.startswith(DOCTOR) else 'test')

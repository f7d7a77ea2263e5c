# SPDX-License-Identifier: Apache-2.0
"""Each side imports only what its extra in pyproject.toml installs."""

import ast
from collections.abc import Iterator
from pathlib import Path
import re
import subprocess
import sys
import tomllib
import unittest

from packaging import requirements, utils
from packaging import version as version_of

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / 'pyproject.toml').read_text())['project']

#: Modules of one side only, and what the operator has installed there.
SIDES = {
    'storage': (('cinder_volume', 'backend', 'stores', 'target',
                 'privileged/stores', 'privileged/target',
                 'privileged/network', 'cmd/monitoring/backend'),
                {'cinder', 'eventlet'}),
    'compute': (('nova_virt', 'initiator', 'privileged/initiator'),
                {'nova'}),
}

#: Modules that import what both extras have.
OF_EACH = ('cmd/metrics', 'cmd/monitoring')

#: Commands that both sides run.
BOTH = {'cmd/main', 'cmd/setup', 'cmd/trace', 'cmd/upgrade_check'}

#: Of the extras' packages, those that oslo.config and oslo.privsep require.
REQUIRED_BY_OSLO = {'eventlet', 'stevedore'}

#: Requirements that nothing imports: pbr reads the version when building.
NOT_IMPORTED = {'pbr'}


def modules(lines: list[str]) -> set[str]:
    """Return the modules that requirements install, by their names."""
    return {re.split('[<>=!~; ]', r)[0].replace('-', '_').replace('.', '_')
            for r in lines}


def side_of(path: Path) -> str | None:
    """Return the side that a module belongs to; None for both.

    :returns: ``each`` for what needs something of both extras.
    """
    name = path.relative_to(ROOT / 'mydriver').with_suffix('').as_posix()
    for side, (rooms, _) in (*SIDES.items(), ('each', (OF_EACH, ()))):
        if any(name == room or name.startswith(f'{room}/') for room in rooms):
            return side
    return None


def imported(source: str) -> Iterator[str]:
    """Yield the top-level packages that a module imports."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (a.name.partition('.')[0] for a in node.names)
        elif isinstance(node, ast.ImportFrom) and not node.level:
            yield str(node.module).partition('.')[0]


def imports_of(side: str | None) -> set[str]:
    """Return the third-party packages that a side's modules import."""
    found = {name for path in (ROOT / 'mydriver').rglob('*.py')
             if side_of(path) in ((side, 'each') if side else (None,))
             for name in imported(path.read_text())}
    return found - sys.stdlib_module_names - {'mydriver'}


class RequirementsTest(unittest.TestCase):
    """``dependencies`` and the extras ``storage`` and ``compute``."""

    def setUp(self) -> None:
        super().setUp()
        self.common = modules(PROJECT['dependencies'])
        self.extras = {name: modules(lines) for name, lines
                       in PROJECT['optional-dependencies'].items()}

    def test_what_both_sides_import(self) -> None:
        self.assertLessEqual(imports_of(None), self.common)

    def test_what_each_side_imports(self) -> None:
        for side, (_, installed) in SIDES.items():
            with self.subTest(side):
                self.assertLessEqual(
                    imports_of(side),
                    self.common | self.extras[side] | installed)

    def test_each_requirement_is_imported(self) -> None:
        self.assertEqual(set(SIDES), set(self.extras))
        for side, extra in self.extras.items():
            with self.subTest(side):
                self.assertLessEqual(
                    (self.common - NOT_IMPORTED) | extra,
                    imports_of(side) | imports_of(None))

    def test_lower_bounds_are_what_was_tested(self) -> None:
        """The oldest version in constraints*.txt: one file per release."""
        pinned: dict[str, list[str]] = {}
        for path in ROOT.glob('constraints*.txt'):
            for name, version in re.findall(
                    r'^([\w.-]+)==(\S+)', path.read_text(), re.M):
                pinned.setdefault(utils.canonicalize_name(name),
                                  []).append(version)
        every = [*PROJECT['dependencies'], *(
            r for extra in PROJECT['optional-dependencies'].values()
            for r in extra)]
        for one in map(requirements.Requirement, every):
            with self.subTest(one.name):
                tested = min(pinned[utils.canonicalize_name(one.name)],
                             key=version_of.Version)
                self.assertEqual(f'>={tested}', str(one.specifier))

    def test_what_both_sides_run_needs_no_extra(self) -> None:
        """Imported where the packages of the extras are not."""
        missing = set().union(*self.extras.values(), *(
            names for _, names in SIDES.values())) - REQUIRED_BY_OSLO
        for name in BOTH:
            module = f'mydriver.{name.replace("/", ".")}'
            with self.subTest(module):
                code = (f'import sys\nfor name in {missing}:\n'
                        f'    sys.modules[name] = None\nimport {module}')
                done = subprocess.run(
                    [sys.executable, '-W', 'ignore', '-c', code], cwd=ROOT,
                    capture_output=True, text=True, check=False)
                self.assertEqual((0, ''), (done.returncode, done.stderr))

    def test_rooms_exist(self) -> None:
        for rooms, _ in SIDES.values():
            for room in rooms:
                path = ROOT / 'mydriver' / room
                self.assertTrue(
                    path.is_dir() or path.with_suffix('.py').is_file(), room)

    def test_a_missing_requirement_is_noticed(self) -> None:
        self.assertIn('rtslib_fb', imports_of('storage'))
        self.assertNotIn('rtslib_fb', self.common | self.extras['compute'])
        self.assertEqual(['os', 'rtslib_fb', 'oslo_log'], list(imported(
            'import os\nimport rtslib_fb.node\nfrom oslo_log import log\n'
            'from . import x\n')))

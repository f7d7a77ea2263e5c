# SPDX-License-Identifier: Apache-2.0
"""The support matrix names tests that are there.

The sources are read, not imported: some of them load on a node only.
"""

import ast
from pathlib import Path
import re
import unittest

ROOT = Path(__file__).parents[2]
MATRIX = ROOT / 'doc' / 'source' / 'features.rst'
_NAMED = re.compile(
    r'``((?:contract|functional|unit|unit_cinder|unit_nova)\.[\w.]+)``')


def is_there(name: str) -> bool:
    """Tell whether there is a module, class or test of a dotted name."""
    parts = name.split('.')
    for end in range(len(parts), 0, -1):
        path = ROOT.joinpath('tests', *parts[:end]).with_suffix('.py')
        if path.is_file():
            return _defines(ast.parse(path.read_text()), parts[end:])
    return False


def _defines(module: ast.Module, names: list[str]) -> bool:
    body: list[ast.stmt] = module.body
    for name in names:
        found = [n for n in body
                 if isinstance(n, (ast.ClassDef, ast.FunctionDef))
                 and n.name == name]
        if not found:
            return False
        body = found[0].body
    return True


class FeaturesTest(unittest.TestCase):
    """doc/source/features.rst against tests/."""

    def test_what_is_named_is_there(self):
        named = _NAMED.findall(MATRIX.read_text())
        self.assertGreater(len(named), 40)
        self.assertEqual([], [n for n in named if not is_there(n)])

    def test_every_row_names_one_or_says_why_not(self):
        rows = re.findall(
            r'^   \* - (.+)\n     - (.+)\n     - (.+)\n     - (.+)\n'
            r'     - ((?:.|\n {6})+)',
            MATRIX.read_text(), re.MULTILINE)
        self.assertGreater(len(rows), 20)
        for function, *stores, shown in rows:
            if function == 'Function':
                continue
            with self.subTest(function):
                if 'yes' in ''.join(stores):
                    self.assertRegex(shown, _NAMED)
                else:
                    self.assertEqual({'no'}, {*stores})

    def test_what_is_not_there_is_noticed(self):
        self.assertTrue(is_there('unit_lab.test_features.FeaturesTest'))
        for name in ('unit.test_nothing', 'unit.test_features.NoTest',
                     'unit.test_features.FeaturesTest.test_no'):
            self.assertFalse(is_there(name), name)

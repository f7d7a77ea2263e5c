# SPDX-License-Identifier: Apache-2.0
"""The tables of texts have each of our errors, and nothing that we never say.

A placeholder of a table is a word in capitals, such as VOLUME, or N.
"""

import ast
from collections.abc import Iterator
import functools
import inspect
from pathlib import Path
import re
import unittest

from mydriver import exception

ROOT = Path(__file__).parents[2]
PAGE = ROOT / 'doc' / 'source' / 'troubleshooting.rst'

#: Their texts consist of what the caller gives, which has its own remedy.
_OWN_WORDS = ('{option}: {problem}. {remedy}',)

#: The section with texts of other programs.
_OTHERS = 'From Nova, Cinder and oslo'

#: Stands for what a message fills in.
_ANY = '\0'

_PLACEHOLDER = re.compile(r'\b[A-Z]{4,}\b|\bN\b')


def templates():
    """Yield the classes of errors that are raised, with their templates."""
    for name, found in vars(exception).items():
        if (inspect.isclass(found)
                and issubclass(found, exception.MyDriverError)
                and found.template and found.template not in _OWN_WORDS):
            yield name, found.template


def fixed_parts(template):
    """Return the parts of a template that are the same in each text."""
    return [part.strip(' .:,;') for part in re.split(r'\{[^}]*\}', template)]


def sections():
    """Return the first cells of the tables of texts, by section."""
    found = {}
    for title, text in re.findall(
            r'^(\S.*)\n=+\n((?:.*\n(?!\S.*\n=+\n))+)', PAGE.read_text(),
            re.M):
        _head, _, rows = text.partition('   * - Text of the ')
        if rows:
            found[title] = [' '.join(c.split()) for c in re.findall(
                r'^   \* - ((?:.|\n {7})+)', rows, re.M)]
    return found


@functools.cache
def messages() -> tuple[str, ...]:
    """Return each text in the package's code, without docstrings."""
    return tuple(text for path in sorted((ROOT / 'mydriver').rglob('*.py'))
                 for text in _texts(ast.parse(path.read_text())))


def _texts(tree: ast.AST) -> Iterator[str]:
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.Expr) and isinstance(
                node.value, ast.Constant):
            continue  # a docstring
        if isinstance(node, ast.JoinedStr):
            yield ''.join(str(part.value) if isinstance(
                part, ast.Constant) else _ANY for part in node.values)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield re.sub(r'%[-#0-9.]*[a-z]|\{[^}]*\}', _ANY, node.value)
        yield from _texts(node)


def is_said(cell: str) -> bool:
    """Tell whether a message has the fixed parts of a cell, in order."""
    parts = [p for p in (part.strip(' ,;:.') for part in
                         _PLACEHOLDER.split(cell)) if p]
    pattern = re.compile('.*'.join(map(re.escape, parts)), re.S)
    return bool(parts) and any(map(pattern.search, messages()))


class TroubleshootingTest(unittest.TestCase):
    """doc/source/troubleshooting.rst against the package."""

    def test_each_error_is_in_a_table(self):
        cells = [cell for found in sections().values() for cell in found]
        self.assertGreater(len(cells), 80)
        for name, template in templates():
            with self.subTest(name):
                self.assertTrue(any(
                    word in part for cell in cells for word in _words(cell)
                    for part in fixed_parts(template)), template)

    def test_each_text_is_one_of_ours(self):
        found = sections()
        self.assertIn(_OTHERS, found)
        del found[_OTHERS]
        for cells in found.values():
            for cell in cells:
                # The name of the option that precedes some texts.
                text = re.sub(r'^mydriver_\w+: ', '', cell)
                with self.subTest(cell):
                    self.assertTrue(is_said(text))

    def test_what_is_never_said_is_noticed(self):
        for cell in ('Volume VOLUME is not expected', 'TARGET PORTAL',
                     'to LUN from PORTAL', 'never appeared: N'):
            self.assertFalse(is_said(cell), cell)
        self.assertTrue(is_said('Login to TARGET at PORTAL failed'))


def _words(cell):
    """Return the fixed words of a cell, without its placeholders."""
    return [w.strip(' ,') for w in _PLACEHOLDER.split(cell)
            if len(w.strip(' ,')) > 6]

# SPDX-License-Identifier: Apache-2.0
"""The table of symptoms has the text of each of our errors."""

import inspect
from pathlib import Path
import re
import unittest

from mydriver import exception

PAGE = Path(__file__).parents[2] / 'doc' / 'source' / 'troubleshooting.rst'

#: Their texts consist of what the caller gives, which has its own remedy.
_OWN_WORDS = ('{option}: {problem}. {remedy}',)


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


class TroubleshootingTest(unittest.TestCase):
    """doc/source/troubleshooting.rst against mydriver.exception."""

    def test_each_error_is_in_the_table(self):
        cells = [' '.join(c.split()) for c in re.findall(
            r'^   \* - ((?:.|\n {7})+)', PAGE.read_text(), re.MULTILINE)]
        self.assertGreater(len(cells), 30)
        for name, template in templates():
            with self.subTest(name):
                self.assertTrue(any(
                    word in part for cell in cells for word in _words(cell)
                    for part in fixed_parts(template)), template)


def _words(cell):
    """Return the fixed words of a cell, without its placeholders."""
    return [w.strip(' ,') for w in re.split(r'\b[A-Z]{4,}\b|\bN\b', cell)
            if len(w.strip(' ,')) > 6]

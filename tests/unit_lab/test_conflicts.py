# SPDX-License-Identifier: Apache-2.0
"""No file of the repository holds both sides of a merge."""

import os
from pathlib import Path
import re
import unittest

ROOT = Path(__file__).resolve().parents[2]

#: The first and the last line of a conflict; the line between them also
#: underlines titles.
CONFLICT = re.compile(rb'^(?:<{7}|>{7})(?: |$)', re.M)

#: Folders of other tools at the top of the repository, and of Python.
OTHERS = {'.git', '.lab', '.stestr', '.tox', '.venv', 'build', 'dist'}


def files() -> list[Path]:
    """Return the files of the repository, perhaps with some of tools."""
    found = []
    for folder, below, names in os.walk(ROOT):
        below[:] = [name for name in below if name not in OTHERS
                    and not name.endswith(('_cache', '__pycache__'))]
        found += [Path(folder, name) for name in names]
    return [path for path in found
            if path.is_file() and not path.is_symlink()]


class ConflictTest(unittest.TestCase):
    """Neither code nor text has the lines that git leaves in a conflict."""

    def test_no_file_has_one(self):
        looked_at = files()
        self.assertIn(ROOT / 'README.md', looked_at)
        self.assertEqual([], [
            str(path.relative_to(ROOT)) for path in looked_at
            if CONFLICT.search(path.read_bytes())])

    def test_a_conflict_is_found(self):
        text = b'a\n<<<<<<< HEAD\nb\n=======\nc\n>>>>>>> other\n'
        self.assertEqual(2, len(CONFLICT.findall(text)))
        self.assertIsNone(CONFLICT.search(b'Title\n=======\n'))

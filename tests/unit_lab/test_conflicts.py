# SPDX-License-Identifier: Apache-2.0
"""No file contains both sides of a merge."""

from collections.abc import Iterator
from pathlib import Path
import re
import tempfile
import unittest

ROOT = Path(__file__).resolve().parents[2]
#: Directories of the repository that are searched, besides its own files.
DIRECTORIES = ('.ci', 'doc', 'etc', 'lab', 'mydriver', 'playbooks',
               'releasenotes/notes', 'tests', 'tools')
_MARKER = re.compile(rb'^(<{7}|>{7}|\|{7}) ', re.MULTILINE)


def conflicts(root: Path) -> Iterator[str]:
    """Yield the files below a directory that have conflict markers."""
    paths = [*root.iterdir()]
    for name in DIRECTORIES:
        paths += root.joinpath(name).rglob('*')
    for path in paths:
        if (path.is_file() and path.suffix != '.pyc'
                and _MARKER.search(path.read_bytes())):
            yield str(path.relative_to(root))


class ConflictsTest(unittest.TestCase):
    """The repository, and a file that must be noticed."""

    def test_repository_has_none(self):
        self.assertEqual([], list(conflicts(ROOT)))

    def test_marker_is_noticed(self):
        for name in ('README.md', '.pre-commit-config.yaml', 'doc/a.rst'):
            with self.subTest(name), tempfile.TemporaryDirectory() as folder:
                path = Path(folder, name)
                path.parent.mkdir(exist_ok=True)
                path.write_text('a\n' + '<' * 7 + ' HEAD\nb\n')
                self.assertEqual([name], list(conflicts(Path(folder))))

# SPDX-License-Identifier: Apache-2.0
"""Print which code the processes of a node run; runs in the node.

``running.py PACKAGE PATTERN...`` prints JSON: for each pattern of command
lines, process ids with the directory that has the package for the process. The
process's own interpreter looks for it, in the process's environment.
"""

import json
from pathlib import Path
import re
import subprocess
import sys

#: Prints the directory of the package that its argument names.
_FIND = ('import importlib.util, os, sys; '
         'spec = importlib.util.find_spec(sys.argv[1]); '
         'print(os.path.dirname(os.path.dirname(spec.origin)))')

_PROC = Path('/proc')


def find(package: str, *patterns: str) -> dict[str, dict[str, str]]:
    """Return process ids and directories by pattern."""
    found: dict[str, dict[str, str]] = {p: {} for p in patterns}
    known: dict[tuple[str, str], str] = {}
    for entry in sorted(_PROC.iterdir()):
        if not entry.name.isdigit():
            continue
        try:
            argv = (entry / 'cmdline').read_bytes().decode(
                errors='replace').split('\0')
            environ = _environ(entry / 'environ')
        except OSError:   # it has ended
            continue
        line = ' '.join(argv)
        if __file__ in line:
            continue
        for pattern in patterns:
            if re.search(pattern, line):
                key = argv[0], environ.get('PYTHONPATH', '')
                if key not in known:
                    known[key] = _folder(package, argv[0], environ)
                found[pattern][entry.name] = known[key]
    return found


def _environ(path: Path) -> dict[str, str]:
    pairs = (word.partition('=') for word in path.read_bytes().decode(
        errors='surrogateescape').split('\0') if '=' in word)
    return {name: value for name, _, value in pairs}


def _folder(package: str, python: str, environ: dict[str, str]) -> str:
    """Let an interpreter find a package; return its directory."""
    # -P: not from the working directory, which a program does not search.
    return subprocess.run(
        [python, '-P', '-c', _FIND, package], env=environ, check=True,
        cwd='/', capture_output=True, text=True).stdout.strip()


if __name__ == '__main__':
    json.dump(find(*sys.argv[1:]), sys.stdout)

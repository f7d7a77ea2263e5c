# SPDX-License-Identifier: Apache-2.0
"""Paths of the lab, all relative to the repository's root."""

from pathlib import Path
import sys

#: The repository's root.
ROOT = Path(__file__).resolve().parent.parent

#: All state of the lab; ignored by git.
STATE = ROOT / '.lab'

#: State of running commands, a directory for each.
RUN = STATE / 'run'

#: Shell scripts of the kernel nodes.
KERNEL_SHELL = ROOT / 'lab' / 'kernel'

#: The virtual environment that the lab itself runs in: ``.lab/venv``, or
#: ``.lab/venv-RELEASE`` with another release of OpenStack.
VENV = Path(sys.prefix)


def constraints(root: Path = ROOT, venv: Path = VENV) -> Path:
    """Return the file with the versions in an environment.

    :param root: the clone.
    """
    named = root / f'constraints{venv.name.removeprefix("venv")}.txt'
    return named if named.exists() else root / 'constraints.txt'

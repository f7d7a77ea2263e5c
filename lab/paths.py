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

#: The virtual environment that the lab itself runs in.
VENV = Path(sys.prefix)

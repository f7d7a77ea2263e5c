# SPDX-License-Identifier: Apache-2.0
"""Where things are. All of it hangs on the repository's root."""

from pathlib import Path
import sys

#: The repository's root.
ROOT = Path(__file__).resolve().parent.parent

#: All state of the lab; git does not see it.
STATE = ROOT / '.lab'

#: State of what runs now; one folder for each run.
RUN = STATE / 'run'

#: Shell of the kernel nodes.
KERNEL_SHELL = ROOT / 'lab' / 'kernel'

#: The virtual environment that the lab itself runs in.
VENV = Path(sys.prefix)

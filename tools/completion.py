# SPDX-License-Identifier: Apache-2.0
"""Write the completion for bash that the package contains.

It is what ``mydriver complete`` prints.
"""

import io
from pathlib import Path
import sys

from mydriver.cmd import main as command

FILE = (Path(__file__).resolve().parent.parent / 'etc' / 'bash-completion'
        / 'mydriver')


def script() -> str:
    """Return the text of the file."""
    out = io.StringIO()
    command.main(['complete', '--name', 'mydriver'], stdout=out,
                 stderr=io.StringIO())
    return out.getvalue()


def main() -> int:
    """Write the file; return the exit status."""
    FILE.write_text(script())
    return 0


if __name__ == '__main__':
    sys.exit(main())

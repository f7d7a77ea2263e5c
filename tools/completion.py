# SPDX-License-Identifier: Apache-2.0
"""Write the completion for bash that the package contains.

It is what ``mydriver complete`` prints, with one difference: cliff's script
completes no subcommands of a command that has options of its own, such as
``mydriver gateway``, unless they are listed before the options.
"""

import io
from pathlib import Path
import re
import sys

from mydriver.cmd import main as command

FILE = (Path(__file__).resolve().parent.parent / 'etc' / 'bash-completion'
        / 'mydriver')

_WORDS = re.compile(r"^(  cmds_\w+=')(.*)(')$", re.MULTILINE)


def script() -> str:
    """Return the text of the file."""
    out = io.StringIO()
    command.main(['complete', '--name', 'mydriver'], stdout=out,
                 stderr=io.StringIO())
    return _WORDS.sub(lambda m: m[1] + options_last(m[2]) + m[3],
                      out.getvalue())


def options_last(words: str) -> str:
    """Return words with those that begin with a hyphen at the end."""
    return ' '.join(sorted(words.split(), key=lambda w: w.startswith('-')))


def main() -> int:
    """Write the file; return the exit status."""
    FILE.write_text(script())
    return 0


if __name__ == '__main__':
    sys.exit(main())

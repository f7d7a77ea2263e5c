# SPDX-License-Identifier: Apache-2.0
"""``mydriver complete``: cliff's command, mended where it is wrong.

cliff's script completes no subcommands of a command that has options of its
own, such as ``mydriver gateway``, unless they are listed before the options.
It offers them as commands with an underscore instead.
"""

import argparse
import io
import re
from typing import Any

from cliff import complete

from mydriver import exception

_WORDS = re.compile(r"^(  cmds(\w*)=')(.*)(')$", re.MULTILINE)


class Complete(complete.CompleteCommand):
    """Print the completion of commands and options for bash."""

    def get_actions(self, command: list[str]) -> list[argparse.Action]:
        """Return the options of a command; none if it cannot be loaded.

        The host may lack what those of the other kind of host import.
        """
        try:
            found: list[argparse.Action] = super().get_actions(command)
        except exception.ConfigurationError:
            return []
        return found

    def take_action(self, parsed_args: Any) -> int:
        """Print the script; return the exit status."""
        out, self.app.stdout = self.app.stdout, io.StringIO()
        try:
            status = int(super().take_action(parsed_args))
            script = self.app.stdout.getvalue()
        finally:
            self.app.stdout = out
        out.write(_WORDS.sub(_mended, script))
        return status


def _mended(line: re.Match[str]) -> str:
    """Return the words that can follow a command, options last."""
    begin, of_command, words, end = line.groups()
    found = [w for w in words.split() if of_command or '_' not in w]
    return begin + ' '.join(
        sorted(found, key=lambda w: w.startswith('-'))) + end

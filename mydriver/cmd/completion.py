# SPDX-License-Identifier: Apache-2.0
"""``mydriver complete``: cliff's command, mended where it is wrong.

cliff's script completes no subcommands of a command that has options of its
own, such as ``mydriver gateway``, unless they are listed before the options.
It offers them as commands with an underscore instead. It offers no choices of
arguments, nothing after ``help`` and after a general option, and options among
commands; bash prints an error when an argument has characters that no variable
has.
"""

import argparse
import io
import re
from typing import Any

from cliff import complete

from mydriver import exception

#: Parts of cliff's script, and what they become.
_MENDED = {
    '== -* ]] ; then\n      break\n': (
        '== -* ]] ; then\n      [ -n "${cmd}" ] && break\n      continue\n'),
    'i=${i//$dash/$underscore}': 'i=${i//[^[:alnum:]_]/_}',
    '  dash=-\n  underscore=_\n': '',
    '    COMPREPLY=( $(compgen -W': (
        '    [[ ${cur} == -* ]] || completed=${completed%% -*}\n'
        '    COMPREPLY=( $(compgen -W'),
}

#: The command ``help``, in names of the script.
_HELP = '_help'
_WORDS = re.compile(r"^(  cmds(\w*)=')(.*)(')$", re.MULTILINE)


class Complete(complete.CompleteCommand):
    """Print the completion of commands and options for bash."""

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        #: The choices of arguments, by command.
        self._choices: dict[str, list[str]] = {}

    def get_actions(self, command: list[str]) -> list[argparse.Action]:
        """Return the options of a command; none if it cannot be loaded.

        The host may lack what those of the other kind of host import.
        """
        try:
            factory, name, _ = self.app.command_manager.find_command(command)
            parser = factory(self.app, None).get_parser(name)
        except exception.ConfigurationError:
            return []
        found: list[argparse.Action] = parser._actions
        self._choices['_'.join(['', *command])] = [
            choice for action in found if not action.option_strings
            for choice in action.choices or ()]
        return [action for action in found if action.option_strings]

    def take_action(self, parsed_args: Any) -> int:
        """Print the script; return the exit status."""
        out, self.app.stdout = self.app.stdout, io.StringIO()
        try:
            status = int(super().take_action(parsed_args))
            script = self.app.stdout.getvalue()
        finally:
            self.app.stdout = out
        for wrong, right in _MENDED.items():
            script = script.replace(wrong, right)
        if all_of_them := _WORDS.search(script):
            self._choices[_HELP] = all_of_them[3].split()
        out.write(_WORDS.sub(self._mended, script))
        return status

    def _mended(self, line: re.Match[str]) -> str:
        """Return the words that can follow a command, options last."""
        begin, of_command, words, end = line.groups()
        found = [w for w in (*self._choices.get(of_command, ()),
                             *words.split())
                 if '_' not in w or of_command not in ('', _HELP)]
        return begin + ' '.join(
            sorted(found, key=lambda w: w.startswith('-'))) + end

# SPDX-License-Identifier: Apache-2.0
"""Checks of a tool: a line for each, and a count of both kinds."""

from collections.abc import Callable, Sequence


class Checklist:
    """Prints the checks and counts them.

    :param out: called with each line of the report.
    """

    def __init__(self, out: Callable[[str], None]) -> None:
        self.passed = 0
        self.failures: list[str] = []
        self.say = out

    def check(self, what: str, wrong: Sequence[str], proof: str = '') -> None:
        """Record a check.

        :param what: what is checked.
        :param wrong: what is wrong; empty when it passed.
        :param proof: shown when it passed.
        """
        if not wrong:
            self.passed += 1
            self.say(f'  passed  {what}' + (f': {proof}' if proof else ''))
            return
        self.failures.append(f'{what}: {wrong[0]}')
        self.say(f'  FAILED  {what}')
        for line in wrong:
            self.say(f'            {line}')

    def close(self) -> int:
        """Print the failures and the count; return the exit status."""
        for line in self.failures:
            self.say(f'failed: {line}')
        self.say(f'{self.passed} passed, {len(self.failures)} failed')
        return 0 if self.passed and not self.failures else 1

# SPDX-License-Identifier: Apache-2.0
"""Read what a guest says on its console; lab/guest has the lines' grammar."""

from collections.abc import Callable
import dataclasses
import re
from typing import Self

from lab import errors, process

_LINE = re.compile(r'^GUEST (.*) uptime=([0-9.]+)\s*$', re.MULTILINE)


class GuestError(errors.LabError):
    """A guest says that something is wrong."""


@dataclasses.dataclass(frozen=True)
class Line:
    """One line of a guest.

    :param text: without ``GUEST`` and uptime.
    :param words: those without ``=``.
    :param fields: those with.
    """

    text: str
    words: tuple[str, ...]
    fields: dict[str, str]

    @classmethod
    def parse(cls, text: str) -> Self:
        """Split a line's text."""
        words = text.split()
        return cls(text, tuple(w for w in words if '=' not in w),
                   dict(w.split('=', 1) for w in words if '=' in w))

    def says(self, *words: str) -> bool:
        """Tell whether its words begin with these."""
        return self.words[:len(words)] == words


class Guest:
    """A guest's console, read on from where the last wait ended.

    :param name: of the server.
    :param read: returns the whole console.
    """

    def __init__(self, name: str, read: Callable[[], str]) -> None:
        self.name = name
        self._read = read
        self._seen = 0

    def wait(self, *words: str, timeout_s: float = 300) -> Line:
        """Wait for a line that begins with these words; return it.

        What the guest said before it is passed over.

        :raises GuestError: when the guest says BAD on the way.
        :raises DeadlinePassed: with the end of the console.
        """
        def said() -> Line | None:
            lines = self._lines()
            for number, line in enumerate(lines[self._seen:], self._seen):
                if 'BAD' in line.words or 'failed' in line.words:
                    raise GuestError(f'{self.name} says: {line.text}')
                if line.says(*words):
                    self._seen = number + 1
                    return line
            return None

        return process.wait_for(
            said, f'guest {self.name} to say "{" ".join(words)}"', timeout_s,
            poll_s=0.3, details=lambda: self._read()[-1500:])

    def _lines(self) -> list[Line]:
        return [Line.parse(m[1]) for m in _LINE.finditer(
            self._read().replace('\r', ''))]

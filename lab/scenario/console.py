# SPDX-License-Identifier: Apache-2.0
"""Read a guest's console; lab/guest documents the lines."""

from collections.abc import Callable
import dataclasses
import re

from lab import errors, process

_LINE = re.compile(
    r'^GUEST ((.*) uptime=([0-9.]+)) length=([0-9]+)\s*$', re.MULTILINE)


class GuestError(errors.LabError):
    """A guest reports an error."""


@dataclasses.dataclass(frozen=True)
class Line:
    """One line of a guest.

    :param text: without ``GUEST``, uptime and length.
    :param uptime_s: the guest's.
    """

    text: str
    uptime_s: float

    @property
    def words(self) -> tuple[str, ...]:
        """The words without ``=``."""
        return tuple(w for w in self.text.split() if '=' not in w)

    @property
    def fields(self) -> dict[str, str]:
        """The words with ``=``."""
        return dict(w.split('=', 1) for w in self.text.split() if '=' in w)

    def says(self, *words: str) -> bool:
        """Tell whether the line begins with these words."""
        return self.words[:len(words)] == words


def lines(text: str) -> list[Line]:
    """Return the complete lines of a console, each once, oldest first.

    libvirt's log daemon and nova both write to the file: nova appends what it
    reads from the terminal (nova.virt.libvirt.driver.LibvirtDriver.
    get_console_output). Until the daemon has overwritten that, lines may be
    torn or duplicated. The guest repeats its last lines, so a torn line
    appears again later, after newer ones.
    """
    whole = [Line(m[2], float(m[3])) for m in _LINE.finditer(
        text.replace('\r', '')) if len(m[1]) == int(m[4])]
    return sorted(dict.fromkeys(whole), key=lambda line: line.uptime_s)


class Guest:
    """A guest's console; each wait continues where the last one ended.

    :param name: of the server.
    :param read: returns the whole console.
    """

    def __init__(self, name: str, read: Callable[[], str]) -> None:
        self.name = name
        self._read = read
        self._passed: set[Line] = set()

    def said(self, *words: str) -> list[Line]:
        """Return the lines so far that begin with these words.

        Nova returns the end of the console only: old lines are missing.

        :raises GuestError: when a line that was not passed over reports an
            error.
        """
        now = lines(self._read())
        for line in now:
            if line not in self._passed:
                self._check(line)
        return [line for line in now if line.says(*words)]

    def _check(self, line: Line) -> None:
        if {'BAD', 'failed'} & set(line.words):
            raise GuestError(f'{self.name} says: {line.text}')

    def wait(self, *words: str, timeout_s: float = 300) -> Line:
        """Wait for a line that begins with these words; return it.

        Lines before it are passed over.

        :raises GuestError: when one of these reports an error.
        :raises DeadlinePassed: with the end of the console.
        """
        def said() -> Line | None:
            now = lines(self._read())
            for number, line in enumerate(now):
                if line in self._passed:
                    continue
                self._check(line)
                if line.says(*words):
                    self._passed.update(now[:number + 1])
                    return line
            return None

        return process.wait_for(
            said, f'guest {self.name} to say "{" ".join(words)}"', timeout_s,
            poll_s=0.3, details=lambda: self._read()[-1500:])

# SPDX-License-Identifier: Apache-2.0
"""Read what a guest says on its console; lab/guest has the lines' grammar."""

from collections.abc import Callable
import dataclasses
import re

from lab import errors, process

_LINE = re.compile(
    r'^GUEST ((.*) uptime=([0-9.]+)) length=([0-9]+)\s*$', re.MULTILINE)


class GuestError(errors.LabError):
    """A guest says that something is wrong."""


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
        """Those without ``=``."""
        return tuple(w for w in self.text.split() if '=' not in w)

    @property
    def fields(self) -> dict[str, str]:
        """Those with it."""
        return dict(w.split('=', 1) for w in self.text.split() if '=' in w)

    def says(self, *words: str) -> bool:
        """Tell whether its words begin with these."""
        return self.words[:len(words)] == words


def lines(text: str) -> list[Line]:
    """Return the whole lines in a console, each one once, oldest first.

    libvirt's log daemon and nova both write to the file: nova appends what it
    read from the terminal (nova.virt.libvirt.driver.LibvirtDriver.
    get_console_output). Until the daemon has written over that, lines are
    torn, or there twice. The guest repeats its last lines, so that a torn one
    appears whole later on, behind younger ones.
    """
    whole = [Line(m[2], float(m[3])) for m in _LINE.finditer(
        text.replace('\r', '')) if len(m[1]) == int(m[4])]
    return sorted(dict.fromkeys(whole), key=lambda line: line.uptime_s)


class Guest:
    """A guest's console, read on from where the last wait ended.

    :param name: of the server.
    :param read: returns the whole console.
    """

    def __init__(self, name: str, read: Callable[[], str]) -> None:
        self.name = name
        self._read = read
        self._passed: set[Line] = set()

    def said(self, *words: str) -> list[Line]:
        """Return the lines so far that begin with these words.

        The console that nova shows is limited: old lines are dropped.

        :raises GuestError: when a line that was not passed over says that
            something is wrong.
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

        What the guest said before it is passed over.

        :raises GuestError: when the guest says BAD on the way.
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

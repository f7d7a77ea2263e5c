# SPDX-License-Identifier: Apache-2.0
"""What is new in the journal of systemd about a unit."""

from collections.abc import Generator, Iterator
import contextlib
import subprocess
import tempfile
import threading

from mydriver import exception
from mydriver.trace import journald

#: What :mod:`.journald` makes records of; journalctl adds time and cursor.
_FIELDS = ('MESSAGE', 'LOGGER_NAME', 'LOGGER_LEVEL', 'REQUEST_ID', '_COMM',
           '_HOSTNAME', '_PID', '_SYSTEMD_UNIT', 'SYSLOG_IDENTIFIER')

#: After which time journalctl is stopped, seconds.
_TIMEOUT_S = 30


class Follower:
    """Reads the entries of a unit after a cursor.

    :param unit: its name.
    :param cursor: of the last entry that was read; None begins at the end,
        and an empty one with the oldest entry.
    """

    def __init__(self, unit: str, cursor: str | None) -> None:
        self._unit = unit
        #: Of the last entry that was read.
        self.cursor = cursor

    def entries(self, most: int) -> Iterator[journald.Entry]:
        """Yield the new entries.

        :param most: stop after as many; the next time goes on there.
        :raises ConfigurationError: when journalctl fails.
        """
        if self.cursor is None:
            for last in self._of('--lines=1'):
                self.cursor = last.get('__CURSOR')
            self.cursor = self.cursor or ''
            self._refuse_unknown()
            return
        after = [f'--after-cursor={self.cursor}'] if self.cursor else []
        with contextlib.closing(self._of(*after)) as found:
            for entry in found:
                self.cursor = entry.get('__CURSOR') or self.cursor
                yield entry
                most -= 1
                if most <= 0:
                    return
        self._refuse_unknown()

    def _of(self, *options: str) -> Generator[journald.Entry, None, None]:
        # With --system, it fails without the permission to read anything.
        command = ['journalctl', '--system', '--quiet', '--no-pager',
                   '--output=json', f'--output-fields={",".join(_FIELDS)}',
                   f'--unit={self._unit}', *options]
        with tempfile.TemporaryFile() as errors:
            try:
                running = subprocess.Popen(
                    command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                    stderr=errors)
            except OSError as e:
                raise self._refused(f'journalctl: {e.strerror}') from e
            timer = threading.Timer(_TIMEOUT_S, running.kill)
            timer.start()
            try:
                assert running.stdout  # noqa: S101  it is a pipe
                yield from journald.entries(running.stdout)
                if status := running.wait():
                    errors.seek(0)
                    said = errors.read().decode(errors='replace').strip()
                    raise self._refused(
                        f'journalctl does not end within {_TIMEOUT_S} s'
                        if status < 0 else said[-300:]
                        or f'journalctl: exit status {status}')
            finally:
                timer.cancel()
                running.kill()
                running.communicate()

    def _refuse_unknown(self) -> None:
        """Refuse a unit without entries that systemd does not know either.

        :raises ConfigurationError: for such a unit.
        """
        if self.cursor:
            return
        try:
            done = subprocess.run(
                ['systemctl', 'show', '--property=LoadState', '--value',
                 '--', self._unit], check=False, capture_output=True,
                text=True, timeout=_TIMEOUT_S)
        except (OSError, subprocess.TimeoutExpired):
            return  # nobody can tell
        if done.stdout.strip() == 'not-found':
            raise exception.ConfigurationError(
                '--events-unit', f'{self._unit}: systemd has no such unit, '
                'and its journal no entries of it', 'Name a unit that '
                'systemctl list-units shows.')

    def _refused(self, reason: str) -> exception.ConfigurationError:
        return exception.ConfigurationError(
            '--events-unit', f'{self._unit}: {reason}', 'The user of this '
            'command must be in group systemd-journal.')

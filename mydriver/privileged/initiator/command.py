# SPDX-License-Identifier: Apache-2.0
"""Run the programs of open-iscsi and multipath-tools as root."""

import os
import re
import subprocess

from mydriver import exception

#: How long a command about existing objects may take, seconds.
TIMEOUT_S = 30

# How iscsiadm reports an error of iscsid: "(24 - authorization failure)".
_REPORTED = re.compile(r'\((\d+ - [^)]*)\)')


def run(*command: str, timeout_s: float | None = None
         ) -> subprocess.CompletedProcess[str]:
    """Run a program without a shell, in the C locale.

    :param timeout_s: how long it may take; ``TIMEOUT_S`` by default.
    :returns: the finished process; any exit status is returned.
    :raises InitiatorError: if the program is not installed or took too long.
    """
    if timeout_s is None:
        timeout_s = TIMEOUT_S
    try:
        return subprocess.run(
            command, capture_output=True, text=True, errors='replace',
            stdin=subprocess.DEVNULL, check=False, timeout=timeout_s,
            env={**os.environ, 'LC_ALL': 'C'})
    except subprocess.TimeoutExpired as e:
        raise exception.InitiatorError(
            f'run {command[0]}', f'no answer within {timeout_s:.0f} s') from e
    except OSError as e:
        raise exception.InitiatorError(
            f'run {command[0]}', e.strerror or str(e)) from e


def reason(done: subprocess.CompletedProcess[str]) -> str:
    """Return one line that says why a command failed."""
    said = (done.stderr or '').strip() or (done.stdout or '').strip()
    if reported := _REPORTED.search(said):
        return reported[1]
    last = said.splitlines()[-1] if said else 'it said nothing'
    return f'{last} (exit status {done.returncode})'

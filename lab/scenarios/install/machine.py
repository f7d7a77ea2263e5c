# SPDX-License-Identifier: Apache-2.0
"""Run commands of this machine, in its network where they need it.

The scenario's process is in the cloud's network, where neither Debian's mirror
nor the index of Python packages can be reached.
"""

from collections.abc import Mapping, Sequence
import os
import shlex
import subprocess

from lab import errors

#: The network of the process when it imports this module, before it enters the
#: cloud's.
_NETWORK = os.open('/proc/self/ns/net', os.O_RDONLY | os.O_CLOEXEC)

_TIMEOUT_S = 900


class CommandFailed(errors.LabError):
    """A command failed."""


def run(argv: Sequence[str], *, online: bool = False, what: str = '',
        env: Mapping[str, str] | None = None,
        timeout_s: float = _TIMEOUT_S) -> str:
    """Run a command.

    :param argv: the command.
    :param online: whether to run it in the machine's network.
    :param what: what errors call it; by default the command.
    :param env: its environment; by default that of this process.
    :param timeout_s: time after which it is killed, seconds.
    :returns: its standard output and standard error.
    :raises CommandFailed: when it cannot run, its status is not 0, or it took
        too long.
    """
    what = what or shlex.join(argv)
    enter = [
        'nsenter', f'--net=/proc/self/fd/{_NETWORK}'] if online else []
    try:
        done = subprocess.run(
            [*enter, *argv], pass_fds=(_NETWORK,) if online else (), env=env,
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT, text=True, errors='replace',
            check=False, timeout=timeout_s)
    except OSError as e:
        raise CommandFailed(f'cannot run {what}: {e}') from e
    except subprocess.TimeoutExpired as e:
        raise CommandFailed(
            f'{what} took more than {timeout_s:.0f} s') from e
    if done.returncode:
        raise CommandFailed(f'{what}: status {done.returncode}\n'
                            f'{done.stdout[-4000:]}')
    return done.stdout

# SPDX-License-Identifier: Apache-2.0
"""Client of multipathd's socket, for the commands that need no privileges."""

import socket
import sys

from oslo_utils import units

from mydriver import exception

#: Abstract socket of multipathd (multipath-tools, multipathd.socket). Anybody
#: may connect and give its ``show`` commands.
ADDRESS = '\0/org/kernel/linux/storage/multipathd'

_TIMEOUT_S = 10
#: One line a path; far more than any host has.
_ANSWER_MAX_BYTES = 16 * units.Mi
#: The length goes ahead as a size_t (libmpathcmd/mpath_cmd.c).
_LENGTH_BYTES = 8


def paths() -> set[str] | None:
    """Return the names of the disks that multipathd knows, such as ``sda``.

    :returns: None if multipathd does not run.
    :raises InitiatorError: if it runs and does not answer.
    """
    try:
        return set(ask('show paths raw format %d').split())
    except (ConnectionRefusedError, FileNotFoundError):
        return None     # nobody listens
    except OSError as e:
        raise exception.InitiatorError(
            'ask multipathd for its paths', str(e)) from e


def ask(command: str) -> str:
    """Send multipathd a command and return its answer.

    :param command: one that needs no privileges, such as ``show paths``.
    :raises OSError: if multipathd does not run, or does not answer.
    """
    # Both ways: the length, then a C string (libmpathcmd/mpath_cmd.c).
    with socket.socket(socket.AF_UNIX) as s:
        s.settimeout(_TIMEOUT_S)
        s.connect(ADDRESS)
        text = command.encode() + b'\0'
        s.sendall(len(text).to_bytes(_LENGTH_BYTES, sys.byteorder) + text)
        size = int.from_bytes(_receive(s, _LENGTH_BYTES), sys.byteorder)
        if size > _ANSWER_MAX_BYTES:
            raise ConnectionError(f'multipathd announced {size} bytes')
        return _receive(s, size).rstrip(b'\0').decode(errors='replace')


def _receive(s: socket.socket, size: int) -> bytes:
    """Read exactly ``size`` bytes."""
    data = b''
    while len(data) < size:
        if not (part := s.recv(size - len(data))):
            raise ConnectionResetError('multipathd closed the connection')
        data += part
    return data

# SPDX-License-Identifier: Apache-2.0
"""The processes of a host, from procfs."""

import os

from mydriver.doctor.host import Host

#: Field 22 of /proc/PID/stat, proc(5), counted behind the name.
_START = 19


def started_at(host: Host, name: str) -> float | None:
    """Return when the oldest process of a name was started.

    :param name: as the kernel has it, at most 15 characters.
    :returns: seconds since the epoch; None if there is no such process.
    """
    times = []
    for folder in host.at('/proc').glob('[0-9]*'):
        pid = folder.name
        try:
            if (host.text(f'/proc/{pid}/comm') or '').strip() != name:
                continue
            fields = (host.text(f'/proc/{pid}/stat') or '').rpartition(
                ')')[2].split()
            times.append(_booted_at(host) + int(fields[_START])
                         / os.sysconf('SC_CLK_TCK'))
        except (OSError, IndexError, ValueError):
            continue  # it has ended
    return min(times, default=None)


def _booted_at(host: Host) -> int:
    for line in (host.text('/proc/stat') or '').splitlines():
        if line.startswith('btime '):
            return int(line.split()[1])
    return 0

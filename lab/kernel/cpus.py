# SPDX-License-Identifier: Apache-2.0
"""Choose the core that a node runs on.

A node's kernel and its programs are host processes, which switch at every
system call and page fault. Across cores a switch costs three to four times as
much, so each node is pinned to one core.
"""

from collections.abc import Iterator
import contextlib
import fcntl
import os
from pathlib import Path

#: The program's name as ``/proc/PID/comm`` has it.
NODE_COMM = 'linux.uml'


def pinned_cores() -> Iterator[int]:
    """Yield the core of each node on this machine, also of other users."""
    for entry in Path('/proc').iterdir():
        if not entry.name.isdigit():
            continue
        pid = int(entry.name)
        with contextlib.suppress(OSError):
            # A node's kernel leads its session; its helpers do not.
            if os.getsid(pid) == pid and is_node(pid):
                cores = os.sched_getaffinity(pid)
                if len(cores) == 1:
                    yield from cores


def is_node(pid: int) -> bool:
    """Tell whether a process is a node's kernel."""
    try:
        return Path('/proc', str(pid), 'comm').read_text().strip() == NODE_COMM
    except OSError:
        return False


def choose() -> int:
    """Return the core with the fewest nodes; if several, any of them."""
    load = dict.fromkeys(os.sched_getaffinity(0), 0)
    for core in pinned_cores():
        if core in load:
            load[core] += 1
    fewest = min(load.values())
    idle = sorted(core for core, nodes in load.items() if nodes == fewest)
    return idle[os.getpid() % len(idle)]


@contextlib.contextmanager
def lock(path: Path) -> Iterator[None]:
    """Hold the lock for choosing a core."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open('w') as f:
        fcntl.flock(f, fcntl.LOCK_EX)
        yield

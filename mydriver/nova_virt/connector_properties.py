# SPDX-License-Identifier: Apache-2.0
"""Cache of os-brick's connector properties.

To collect them, os-brick asks each of its connectors, which fork commands as
root; on a busy host that costs each attach a second or two. The properties
come from files that hardly ever change, so they are kept until one of these
files changes, and for 15 minutes at most, since some come from no file.
"""

from collections.abc import Callable, Iterable
import copy
import os
from pathlib import Path
import threading
import time
from typing import Any

#: Sources of the properties: initiator name, NVMe host, FC adapters.
INPUTS = tuple(Path(p) for p in (
    '/etc/iscsi/initiatorname.iscsi', '/etc/nvme/hostnqn', '/etc/nvme/hostid',
    '/sys/class/fc_host'))

#: How long the properties are kept, seconds.
MAX_AGE_S = 900


class ConnectorProperties:
    """The properties of this host; thread-safe.

    :param inputs: files and directories; a change of one makes them stale.
    :param max_age_s: how long they are kept without a change.
    """

    def __init__(self, inputs: Iterable[Path] = INPUTS,
                 max_age_s: float = MAX_AGE_S) -> None:
        self._inputs = tuple(inputs)
        self._max_age_s = max_age_s
        self._lock = threading.Lock()
        self._kept: dict[str, Any] | None = None
        self._signature: object = None
        self._since = 0.0

    def get(self, collect: Callable[[], dict[str, Any]]) -> dict[str, Any]:
        """Return the properties; the caller may change the dict.

        :param collect: asks os-brick. A result without an initiator name is
            not kept, since open-iscsi may just be starting.
        """
        with self._lock:
            signature = tuple(_signature(path) for path in self._inputs)
            stale = (signature != self._signature or
                     time.monotonic() - self._since > self._max_age_s)
            if self._kept is None or stale:
                collected = collect()
                if not collected.get('initiator'):
                    return collected
                self._kept = collected
                self._signature = signature
                self._since = time.monotonic()
            return copy.deepcopy(self._kept)


def _signature(path: Path) -> object:
    """Return a value that changes with a file or directory."""
    try:
        seen = path.stat()
        names = sorted(os.listdir(path)) if path.is_dir() else []
    except OSError:
        return None
    return seen.st_ino, seen.st_mtime_ns, seen.st_size, names

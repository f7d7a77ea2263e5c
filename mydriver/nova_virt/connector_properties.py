# SPDX-License-Identifier: Apache-2.0
"""os-brick's connector properties, kept while the host stays as it is.

Collecting them asks each of os-brick's connectors, which fork commands as
root; on a busy host that takes a second or two of each attach. They come from
files that hardly ever change, so they are kept until one of these does, and
for a quarter of an hour at most, for what no file shows.
"""

from collections.abc import Callable, Iterable
import copy
import os
from pathlib import Path
import threading
import time
from typing import Any

#: What the properties are made of: initiator name, NVMe host, FC adapters.
INPUTS = tuple(Path(p) for p in (
    '/etc/iscsi/initiatorname.iscsi', '/etc/nvme/hostnqn', '/etc/nvme/hostid',
    '/sys/class/fc_host'))

#: How long they are kept, seconds.
MAX_AGE_S = 900


class ConnectorProperties:
    """The properties of this host; safe to use from several threads.

    :param inputs: files and folders whose change makes them stale.
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

        :param collect: asks os-brick. What it returns without an initiator
            name is not kept, since open-iscsi may just be starting.
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
    """Return something that differs when a file or folder has changed."""
    try:
        seen = path.stat()
        names = sorted(os.listdir(path)) if path.is_dir() else []
    except OSError:
        return None
    return seen.st_ino, seen.st_mtime_ns, seen.st_size, names

# SPDX-License-Identifier: Apache-2.0
"""What was done, what failed, and whether a kill explains that."""

import collections
from collections.abc import Iterable, Iterator, Mapping
import contextlib
import dataclasses
from pathlib import Path
import threading
import time


@dataclasses.dataclass(slots=True)
class Operation:
    """An operation, from the request until its result was seen.

    :param kind: such as ``create``.
    :param began_s: seconds since the epoch.
    :param requests: ids of the requests to the API.
    :param ended_s: 0 while it is under way.
    :param problem: empty when it succeeded.
    """

    kind: str
    began_s: float = dataclasses.field(default_factory=time.time)
    requests: list[str] = dataclasses.field(default_factory=list)
    ended_s: float = 0.0
    problem: str = ''


@dataclasses.dataclass(frozen=True, slots=True)
class Kill:
    """A kill, from the order to kill a service until it was dead.

    On a busy machine that takes more than a second. The service works
    meanwhile.

    :param began_s: seconds since the epoch.
    :param ended_s: seconds since the epoch.
    """

    node: str
    began_s: float
    ended_s: float


class Ledger:
    """All operations and all kills; thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.operations: list[Operation] = []
        self.kills: list[Kill] = []

    def add(self, operation: Operation) -> None:
        """Add an operation that has ended."""
        with self._lock:
            self.operations.append(operation)

    @contextlib.contextmanager
    def killing(self, node: str) -> Iterator[None]:
        """Note that the service of a node is killed in this context."""
        began_s = time.time()
        try:
            yield
        finally:
            with self._lock:
                self.kills.append(Kill(node, began_s, time.time()))

    def failed(self) -> list[Operation]:
        """Return the operations that failed."""
        return [o for o in self.operations if o.problem]

    def counts(self) -> str:
        """Return how many operations of each kind there were, and failed."""
        total = collections.Counter(o.kind for o in self.operations)
        failed = collections.Counter(o.kind for o in self.failed())
        return ', '.join(
            f'{kind} {n}' + (f' ({failed[kind]} failed)' if failed[kind]
                             else '') for kind, n in sorted(total.items()))

    def unexplained(self, nodes: Mapping[str, set[str]]) -> list[str]:
        """Return the failures that no kill explains.

        A kill explains a failure if a service that had the request was killed
        between the request and the failure; or, if no service has logged the
        request, any service: it took the message and did not come to log it.

        :param nodes: the nodes whose service logged a request, by its id.
        """
        found = []
        for one in self.failed():
            had = set().union(*(nodes.get(r, set()) for r in one.requests))
            killed = {kill.node for kill in self.kills
                      if kill.began_s <= one.ended_s
                      and one.began_s <= kill.ended_s}
            if not (killed & had if had else killed):
                found.append(
                    f'{one.kind} ({", ".join(one.requests)}; carried out on '
                    f'{", ".join(sorted(had)) or "no node"}, killed '
                    f'{", ".join(sorted(killed)) or "none"}): {one.problem}')
        return found


def nodes_of(requests: Iterable[str], logs: Mapping[str, Path]
             ) -> dict[str, set[str]]:
    """Return the nodes whose service has logged requests.

    :param logs: of cinder-volume, by node.
    """
    wanted = set(requests)
    found: dict[str, set[str]] = {}
    for node, path in logs.items():
        with path.open(errors='replace') as f:
            for line in f:
                at = line.find('req-')
                if at >= 0 and (its := line[at:at + 40]) in wanted:
                    found.setdefault(its, set()).add(node)
    return found

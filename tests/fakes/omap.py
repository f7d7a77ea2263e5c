# SPDX-License-Identifier: Apache-2.0
"""Objects with an omap, in memory."""

from collections.abc import Callable, Collection, Mapping, Sequence
import dataclasses
import threading

from mydriver import exception
from mydriver.ceph import omap


class FakeObjects:
    """As :class:`mydriver.ceph.omap.RadosObjects`.

    :ivar content: values by key, by the name of the object.
    :ivar operations: how many reads and changes there were.
    :ivar before_write: called before each change, as another client's turn.
    :ivar fail_after: after how many changes the cluster is gone.
    :ivar most_keys: how many keys a range returns at most.
    """

    where = 'pool/namespace'

    def __init__(self) -> None:
        self.content: dict[str, dict[str, str]] = {}
        self.operations = 0
        self.before_write: Callable[[], None] | None = None
        self.fail_after: int | None = None
        self.most_keys = omap.MOST_KEYS
        self._lock = threading.Lock()

    def read(self, name: str, keys: Collection[str] = (),
             ranges: Sequence[omap.Range] = ()) -> omap.Found | None:
        """See :meth:`.omap.Objects.read`."""
        with self._lock:
            self.operations += 1
            if name not in self.content:
                return None
            stored = self.content[name]
            values = {k: stored[k] for k in keys if k in stored}
            cut = []
            for part in ranges:
                found = sorted(k for k in stored if k.startswith(part.prefix)
                               and k > part.after)[
                                   :min(part.limit, self.most_keys)]
                values.update((k, stored[k]) for k in found)
                if len(found) >= min(part.limit, self.most_keys):
                    cut.append(dataclasses.replace(part, after=found[-1]))
            return omap.Found(values, tuple(cut))

    def write(self, name: str, put: Mapping[str, str],
              remove: Collection[str] = (), *,
              where: omap.Where | None = None,
              new: bool = False) -> omap.Outcome:
        """See :meth:`.omap.Objects.write`."""
        omap.refuse_not_ascii(where or {})
        if self.before_write is not None:
            hook, self.before_write = self.before_write, None
            hook()
        with self._lock:
            self.operations += 1
            if new and name in self.content:
                return omap.Outcome.EXISTS
            if where and name not in self.content:
                return omap.Outcome.MISSING
            stored = self.content.get(name, {})
            if any(k not in stored if v is omap.PRESENT
                   else stored.get(k, '') != v
                   for k, v in (where or {}).items()):
                return omap.Outcome.DIFFERS
            changed = {**stored, **put}
            for key in remove:
                changed.pop(key, None)
            self.content[name] = changed
            if self.fail_after is not None:
                self.fail_after -= 1
                if self.fail_after <= 0:
                    raise exception.CephError('write', 'the answer was lost')
        return omap.Outcome.DONE

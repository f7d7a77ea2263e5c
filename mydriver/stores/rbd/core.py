# SPDX-License-Identifier: Apache-2.0
"""What all operations of the store have in common."""

from collections.abc import Callable, Iterator
import contextlib
import time
from typing import Any

from mydriver import exception, model
from mydriver.ceph import cluster
from mydriver.stores import base, identity, refusals
from mydriver.stores.rbd import (
    images,
    intents,
    keeper,
    listing,
    local,
    pool,
    sessions,
    setup,
)

#: Between two looks at who has an image open, seconds.
_PAUSE_S = 0.2

#: How many ancestors an image has before its data is copied.
CLONE_DEPTH = 10


class Core:
    """The pool of a store, and its devices on this host.

    :param settings: how the pool is reached.
    :param record: the id of the store that was there before.
    :param clone_depth: how many ancestors a volume may have.
    """

    # A group's snapshots in Ceph 16 (rbd group snap create) are of one
    # moment, but nothing can be cloned from them: librbd clones what is in
    # the namespace of the users' snapshots. What blocks runs in native threads
    # by itself (mydriver.ceph.blocking): privileged verbs must not.
    traits = base.Traits(
        backstore='iblock', consistent_groups=False, thin=True,
        shares_files=False, copies_hold_writes=False,
        fixed_block_bytes=base.BLOCK_BYTES, needs_native_thread=False,
        native=True, clones_images=True, shared=True)

    def __init__(self, settings: cluster.Settings,
                 record: identity.Record | None = None,
                 clone_depth: int = CLONE_DEPTH) -> None:
        self.pool = pool.Pool(settings, record or identity.Record())
        self.host = local.Host(self.pool)
        self.sessions = sessions.Sessions(self.pool.client_of)
        self.intents = intents.Intents(self.sessions)
        self.keeper = keeper.Keeper(self.pool, self.intents, self.sessions)
        self.clone_depth = clone_depth

    @property
    def location(self) -> str:
        """The pool, and the configuration of its cluster."""
        return self.pool.location

    @contextlib.contextmanager
    def working(self, what: str, name: str, needed_bytes: int = 0,
                source: str = '') -> Iterator[Any]:
        """Use the pool; settle first what was left of a name.

        :param source: another name, which is only read.
        :raises StoreError: when another process works on either.
        """
        refusals.refuse_odd_name(name)
        with self.pool.work(what, needed_bytes) as io:
            self.keeper.start()
            self.keeper.free(io, name)
            if source:
                self.keeper.free(io, source, but_claims=True)
            yield io

    def find(self, io: Any, name: str) -> str:
        """Return the id of a backing; see :func:`.listing.find`."""
        return listing.find(io, name, self.location)

    def device_of(self, io: Any, name: str, its_id: str
                  ) -> model.BackingDevice:
        """Return the device that an image has when it is mapped.

        :raises StoreError: when the kernel cannot map it.
        """
        size_bytes, problem = setup.look(io, its_id)
        if problem:
            raise exception.StoreError(f'use {name}', problem)
        return model.BackingDevice(
            self.traits.backstore, self.host.path(name), size_bytes)

    def when_unused(self, io: Any, name: str, its_id: str,
                    change: Callable[[], None]) -> None:
        """Change an image once no client has it open.

        Services open images for a moment, for instance to remove a snapshot
        that nothing was cloned from. So only those are waited for.

        :raises StoreError: when another client has it open.
        """
        deadline = time.monotonic() + local.WATCH_TIMEOUT_S
        while True:
            self._refuse_used(io, name, its_id, deadline)
            try:
                change()
            except images.rbd().ImageBusy:
                if time.monotonic() > deadline:
                    raise
            else:
                return

    def _refuse_used(self, io: Any, name: str, its_id: str, deadline: float
                     ) -> None:
        """Check that nobody has an image open, waiting only for services."""
        while True:
            try:
                found = images.watchers(io, its_id)
            except images.not_found():
                return
            if not found:
                return
            others = set(found).difference(self.sessions.clients(io))
            if others or time.monotonic() > deadline:
                raise exception.StoreError(
                    f'change {name}',
                    f'{", ".join(sorted(others or found))} has it open')
            time.sleep(_PAUSE_S)

# SPDX-License-Identifier: Apache-2.0
"""The store of images in a pool of Ceph RBD.

Each backing is an image, also a snapshot: a clone of its volume that shares
all data. So either can be deleted, renamed or cloned without the other, and
the name says where it is. librbd does all of it as the user of the service;
only mapping an image on this host takes root (:mod:`.local`).
"""

from collections.abc import Sequence
from typing import Any

from mydriver.stores import base, batch, names, refusals
from mydriver.stores.rbd import (
    access,
    adoption,
    alone,
    clones,
    core,
    images,
    imaging,
    intents,
    listing,
    mapped,
    reverts,
    room,
    settling,
    setup,
    trash,
)

CLONE_DEPTH = core.CLONE_DEPTH


class RbdStore(access.Access, imaging.Imaging):
    """Images in a pool of Ceph; see :class:`.base.VolumeStore`.

    :param settings: how the pool is reached.
    :param record: the id of the store that was there before.
    :param clone_depth: how many ancestors a volume may have.
    """

    def block_bytes(self) -> int:
        """Return what the kernel's client has for every image.

        Source: drivers/block/rbd.c, rbd_init_disk: the default.
        """
        return base.BLOCK_BYTES

    # -- life of the store

    @property
    def is_known(self) -> bool:
        """Whether the pool or the record has an id."""
        return self.pool.is_known()

    def prepare(self) -> None:
        """Check that the pool answers and is the one that it was."""
        with self.pool.work('look for the pool'):
            pass

    def check(self) -> None:
        """Check that the pool and this host's kernel can do their work."""
        setup.check(self.pool)
        setup.check_host(self.pool)
        room.refuse_when_full(self.pool)

    def recover(self) -> tuple[str, ...]:
        """Finish or undo what a crash interrupted; give the pool an id."""
        self.pool.keep_identity()
        with self.pool.work('clean up') as io:
            kept = self.keeper.recover(io) + mapped.recover(io, self.host)
            trash.empty(self.pool, io, trash.ALL)
            for its_id in listing.backings(io).values():
                listing.prune(io, its_id)
        return tuple(kept)

    def serve(self, service: str, *, is_shared: bool) -> None:
        """See :meth:`mydriver.stores.sharing.SharedStore.serve`."""
        self.sessions.service = service
        self.keeper.is_shared = is_shared

    # -- volumes

    def create(self, name: str, size_bytes: int) -> None:
        """Create an image without data."""
        refusals.refuse_odd_size(name, size_bytes)
        with self.working(f'create {name}', name, size_bytes) as io:
            its_id = images.id_of(io, name)
            if its_id and images.is_untouched(io, its_id, size_bytes):
                return
            if its_id:
                refusals.refuse_taken(name)
            room.refuse_when_full(self.pool, size_bytes)
            with settling.making(self.pool, io, self.intents, name):
                images.create(io, name, size_bytes)

    def delete(self, name: str) -> None:
        """Move the image to the trash, which is emptied in the background."""
        with self.working(f'delete {name}', name) as io:
            its_id = images.id_of(io, name)
            if its_id is None:
                return
            self.host.let_down(name)
            with self.intents.held(io, name):
                listing.check_same(io, name, its_id)
                self.when_unused(io, name, its_id, lambda: trash.throw(
                    self.pool, io, name))

    def extend(self, name: str, size_bytes: int) -> None:
        """Resize the image, and flush it in any case."""
        refusals.refuse_odd_size(name, size_bytes)
        with self.working(f'extend {name}', name, size_bytes) as io:
            its_id = self.find(io, name)
            current_bytes = images.size_of(io, its_id)
            refusals.refuse_shrinking(name, current_bytes, size_bytes)
            if current_bytes < size_bytes:
                room.refuse_when_full(self.pool, size_bytes)
                with self.intents.held(io, name), alone.with_images(its_id):
                    listing.check_same(io, name, its_id)
                    images.resize(io, its_id, size_bytes)
            self.host.flush(name)

    def rename(self, old: str, new: str) -> None:
        """Rename the image."""
        refusals.refuse_odd_name(old)
        with self.working(f'rename {old} to {new}', new, source=old) as io:
            if images.id_of(io, old) is None and listing.exists(io, new):
                return
            old_id = self.find(io, old)
            self.host.let_down(old)
            with self.intents.held(io, new) as claim:
                if images.id_of(io, new) is not None:
                    refusals.refuse_taken(new)
                listing.check_same(io, old, old_id)
                self.when_unused(io, old, old_id, lambda: None)
                claim.record(intents.RENAME, old=old)
                images.rename(io, old, new)
                listing.check_renamed(io, old, new, old_id, self.location)

    # -- copies

    def snapshot(self, source: str, name: str) -> None:
        """Clone the image as it is."""
        refusals.refuse_odd_name(source)
        with self.working(f'copy {source} to {name}', name,
                          source=source) as io:
            source_id = self.find(io, source)
            size_bytes = images.size_of(io, source_id)
            its_id = images.id_of(io, name)
            if its_id and images.size_of(io, its_id) == size_bytes:
                return
            self._clone(io, source, source_id, name, size_bytes)

    def snapshot_group(self, pairs: Sequence[tuple[str, str]]) -> None:
        """Clone one source after the other."""
        batch.snapshot_in_turn(self, pairs)

    def clone(self, source: str, name: str, size_bytes: int) -> None:
        """Clone the image, and extend the clone."""
        refusals.refuse_odd_name(source)
        refusals.refuse_odd_size(name, size_bytes)
        with self.working(f'copy {source} to {name}', name, size_bytes,
                          source) as io:
            source_id = self.find(io, source)
            refusals.refuse_small_clone(
                source, images.size_of(io, source_id), size_bytes)
            self._clone(io, source, source_id, name, size_bytes)
            clones.flatten_beyond(io, name, self.clone_depth)

    def _clone(self, io: Any, source: str, source_id: str, name: str,
               size_bytes: int) -> None:
        if images.id_of(io, name) is not None:
            refusals.refuse_taken(name)
        room.refuse_when_full(self.pool, size_bytes)
        self.host.flush(source)
        snap = clones.snap_name()
        with settling.making(self.pool, io, self.intents, name,
                             source=source_id, snap=snap):
            clones.make(io, source, source_id, name, snap, size_bytes)

    def share(self, source_fd: int, name: str, size_bytes: int) -> bool:
        """Return False: a file has no extents that a pool could share."""
        refusals.refuse_odd_name(name)
        return False

    def revert(self, name: str, snapshot: str) -> None:
        """Replace the image by a clone of the snapshot."""
        refusals.refuse_odd_name(snapshot)
        with self.working(f'revert {name} to {snapshot}', name,
                          source=snapshot) as io:
            its_id, kept_id = self.find(io, name), self.find(io, snapshot)
            size_bytes = images.size_of(io, its_id)
            refusals.refuse_large_snapshot(
                name, size_bytes, snapshot, images.size_of(io, kept_id))
            room.refuse_when_full(self.pool, size_bytes)
            self.host.let_down(name)
            with self.intents.held(io, name) as claim:
                listing.check_same(io, name, its_id)
                self.when_unused(io, name, its_id, lambda: None)
                # Another cinder-volume may have extended it meanwhile.
                size_bytes = images.size_of(io, its_id)
                reverts.revert(self.pool, io, claim, its_id, snapshot,
                               size_bytes, self.clone_depth)

    # -- what others made

    def foreign(self) -> tuple[base.Foreign, ...]:
        """Return the images of the pool that are not ours."""
        with self.pool.work('list foreign images') as io:
            return adoption.foreign(io)

    def adopt(self, source: str, name: str, size_bytes: int) -> None:
        """Extend the image and rename it."""
        names.check_source(source)
        refusals.refuse_odd_name(name)
        refusals.refuse_odd_size(name, size_bytes)
        with self.working(f'take over {source}', name, size_bytes) as io:
            if names.is_name(source):
                self.host.let_down(source)
            adoption.adopt(self.pool, io, self.intents, source, name,
                           size_bytes)

    # -- what there is

    def exists(self, name: str) -> bool:
        """Tell whether there is such an image, complete."""
        refusals.refuse_odd_name(name)
        with self.pool.work(f'look for {name}') as io:
            return listing.exists(io, name)

    def names(self) -> tuple[str, ...]:
        """Return the names of our images that are complete."""
        with self.pool.work('list backings') as io:
            return tuple(sorted(listing.backings(io)))

    def extents(self, name: str) -> int:
        """Return 0: the time that a copy takes does not depend on them."""
        refusals.refuse_odd_name(name)
        return 0

    def capacity(self) -> base.Capacity:
        """Return what the manager says of the pool."""
        with self.pool.work('measure the room') as io:
            return room.capacity(self.pool, io)

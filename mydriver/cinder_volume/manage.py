# SPDX-License-Identifier: Apache-2.0
"""Manage what is already in the store, and unmanage it.

A reference is ``{"source-name": NAME}``, with the name of something in the
store's place: what others put there, or a backing that was unmanaged. Managing
it gives it a new name and rounds its size up to whole GiB.
"""

from collections.abc import Iterator
import contextlib
from typing import Any

from cinder import coordination
from cinder import exception as cinder_exception
from cinder.volume import volume_utils
from oslo_log import log as logging
from oslo_utils import units

from mydriver import exception
from mydriver.cinder_volume import connections, manageable, parts
from mydriver.stores import names

LOG = logging.getLogger(__name__)


class Manage:
    """Manage and unmanage volumes and snapshots.

    :param connections: withdraws a volume before it is unmanaged.
    """

    def __init__(self, backend: parts.Backend,
                 connections: connections.Connections) -> None:
        self._records = backend.records
        self._store = backend.store
        self._exports = backend.exports
        self._connections = connections

    # -- volumes

    def manage_existing_get_size(self, volume: Any, existing_ref: Any) -> int:
        """Return the size of the source, in GiB, rounded up."""
        with _blamed(existing_ref):
            return manageable.size_of(self._store, self._free(existing_ref))

    def manage_existing(self, volume: Any, existing_ref: Any) -> None:
        """Make the source the backing of a new volume."""
        self._adopt(existing_ref, names.of_volume(volume))

    @coordination.synchronized(parts.LOCK)
    def unmanage(self, volume: Any) -> None:
        """Leave the backing of a volume in the store, to be managed again.

        It is named after the volume's id, the only one that users know.
        """
        self._connections.withdraw(volume)
        name = names.volume_name(volume.id)
        if volume.name_id != volume.id:
            self._store.rename(names.of_volume(volume), name)
        LOG.info('Volume %s is no longer managed; it stays in %s as %s',
                 volume.id, self._store.location, name)

    def get_manageable_volumes(self, cinder_volumes: Any, marker: Any,
                               limit: Any, offset: Any, sort_keys: Any,
                               sort_dirs: Any) -> list[dict[str, Any]]:
        """Return a page of what is in the store, managed or not."""
        managed = {names.of_volume(v): manageable.Managed(v.id)
                   for v in cinder_volumes}
        return _page(manageable.volumes(self._store, managed, self._objection),
                     marker, limit, offset, sort_keys, sort_dirs)

    # -- snapshots

    def manage_existing_snapshot_get_size(self, snapshot: Any,
                                          existing_ref: Any) -> int:
        """Return the size of the source, in GiB, rounded up."""
        with _blamed(existing_ref):
            source = self._free(existing_ref)
            size_gib = manageable.size_of(self._store, source)
            if size_gib > snapshot.volume.size:
                raise exception.StoreError(
                    f'take over {source}', f'it has {size_gib} GiB, its '
                    f'volume only {snapshot.volume.size}')
            return size_gib

    def manage_existing_snapshot(self, snapshot: Any,
                                 existing_ref: Any) -> None:
        """Make the source a snapshot of a volume."""
        self._adopt(existing_ref, names.snapshot_name(snapshot.id))

    def unmanage_snapshot(self, snapshot: Any) -> None:
        """Leave the snapshot in the store, to be managed again."""
        LOG.info('Snapshot %s of volume %s is no longer managed; it stays in '
                 '%s as %s', snapshot.id, snapshot.volume_id,
                 self._store.location, names.snapshot_name(snapshot.id))

    def get_manageable_snapshots(self, cinder_snapshots: Any, marker: Any,
                                 limit: Any, offset: Any, sort_keys: Any,
                                 sort_dirs: Any) -> list[dict[str, Any]]:
        """Return a page of the snapshots in the store, managed or not."""
        managed = {names.snapshot_name(s.id): manageable.Managed(
            s.id, names.of_volume(s.volume)) for s in cinder_snapshots}
        return _page(
            manageable.snapshots(self._store, managed, self._objection),
            marker, limit, offset, sort_keys, sort_dirs)

    # -- inside

    def _adopt(self, existing_ref: Any, name: str) -> None:
        with _blamed(existing_ref):
            source = manageable.source_of(existing_ref)
            if self._store.exists(name):
                return  # done before
            self._free(existing_ref)
            size_gib = manageable.size_of(self._store, source)
            self._store.adopt(source, name, size_gib * units.Gi)
        LOG.info('%s in %s is managed as %s', source, self._store.location,
                 name)

    def _free(self, existing_ref: Any) -> str:
        """Return the source that a reference names, if it may be managed."""
        source = manageable.source_of(existing_ref)
        problem = self._objection(source) if names.is_name(source) else None
        if problem == manageable.MANAGED:
            raise cinder_exception.ManageExistingAlreadyManaged(
                volume_ref=source)
        if problem:
            raise exception.StoreError(f'take over {source}', problem)
        return source

    def _objection(self, name: str) -> str | None:
        """Return why a backing must not be managed, None when it may be."""
        kind, _, its_id = name.partition('-')
        if self._is_managed(kind, its_id):
            return manageable.MANAGED
        if kind == 'volume' and self._exports.is_exported(its_id):
            return 'it is exported'
        return None

    def _is_managed(self, kind: str, its_id: str) -> bool:
        """Tell whether Cinder has a volume or snapshot on that backing."""
        if kind == 'snapshot':
            return self._records.has_snapshot(its_id)
        # On any host: a volume that is being migrated here has its backing
        # here before Cinder's record says so, and this host may have had
        # another name. After a migration the backing has another id.
        return bool(self._records.of_backings([its_id]))


@contextlib.contextmanager
def _blamed(existing_ref: Any) -> Iterator[None]:
    """Blame the reference for what is wrong with it, not for a full store."""
    try:
        yield
    except (exception.BackingNotFound, exception.StoreError) as e:
        raise cinder_exception.ManageExistingInvalidReference(
            existing_ref=manageable.shown(existing_ref),
            reason=str(e)) from e


def _page(entries: list[dict[str, Any]], *page: Any) -> list[dict[str, Any]]:
    """Return a part of a sorted list."""
    found: list[dict[str, Any]] = volume_utils.paginate_entries_list(
        entries, *page)
    return found

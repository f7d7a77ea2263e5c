# SPDX-License-Identifier: Apache-2.0
"""Managing what is in the store already, and letting go of it.

A reference is ``{"source-name": NAME}``, with the name of something in the
store's place: what others put there, or a backing that was unmanaged. To
manage it is to give it a new name, and a size of whole GiB.
"""

from collections.abc import Iterator
import contextlib
from typing import Any

from cinder import context as cinder_context
from cinder import coordination, objects
from cinder import exception as cinder_exception
from cinder.volume import volume_utils
from oslo_log import log as logging

from mydriver import exception
from mydriver.cinder_volume import base as adapter
from mydriver.cinder_volume import errors, manageable, stats
from mydriver.stores import names

LOG = logging.getLogger(__name__)


class Manage(adapter.Adapter):
    """Manage and unmanage volumes and snapshots."""

    # -- volumes

    @errors.translated()
    def manage_existing_get_size(self, volume: Any, existing_ref: Any) -> int:
        """Return the size of what is to be managed, in GiB, rounded up."""
        with _blamed(existing_ref):
            return manageable.size_of(self.store, self._free(existing_ref))

    @errors.translated()
    def manage_existing(self, volume: Any, existing_ref: Any) -> None:
        """Make something in the store the backing of a new volume."""
        self._adopt(existing_ref, adapter.name(volume))

    @errors.translated()
    @coordination.synchronized(adapter.LOCK)
    def unmanage(self, volume: Any) -> None:
        """Leave the backing of a volume where it is, for managing it again.

        Users know a volume's id alone, so that is what it is named after.
        """
        self.withdraw(volume)
        name = names.volume_name(volume.id)
        if volume.name_id != volume.id:
            self.store.rename(adapter.name(volume), name)
        LOG.info('Volume %s is not managed any more; it stays in %s as %s',
                 volume.id, self.store.location, name)

    @errors.translated()
    def get_manageable_volumes(self, cinder_volumes: Any, marker: Any,
                               limit: Any, offset: Any, sort_keys: Any,
                               sort_dirs: Any) -> list[dict[str, Any]]:
        """Return a page of what is in the store, managed or not."""
        managed = {adapter.name(v): manageable.Managed(v.id)
                   for v in cinder_volumes}
        return _page(manageable.volumes(self.store, managed, self._objection),
                     marker, limit, offset, sort_keys, sort_dirs)

    # -- snapshots

    @errors.translated()
    def manage_existing_snapshot_get_size(self, snapshot: Any,
                                          existing_ref: Any) -> int:
        """Return the size of what is to be managed, in GiB, rounded up."""
        with _blamed(existing_ref):
            source = self._free(existing_ref)
            size_gib = manageable.size_of(self.store, source)
            if size_gib > snapshot.volume.size:
                raise exception.StoreError(
                    f'take over {source}', f'it has {size_gib} GiB, its '
                    f'volume only {snapshot.volume.size}')
            return size_gib

    @errors.translated()
    def manage_existing_snapshot(self, snapshot: Any,
                                 existing_ref: Any) -> None:
        """Make something in the store a snapshot of a volume."""
        self._adopt(existing_ref, names.snapshot_name(snapshot.id))

    def unmanage_snapshot(self, snapshot: Any) -> None:
        """Leave the snapshot where it is, for managing it again."""
        LOG.info('Snapshot %s is not managed any more; it stays in %s as %s',
                 snapshot.id, self.store.location,
                 names.snapshot_name(snapshot.id))

    @errors.translated()
    def get_manageable_snapshots(self, cinder_snapshots: Any, marker: Any,
                                 limit: Any, offset: Any, sort_keys: Any,
                                 sort_dirs: Any) -> list[dict[str, Any]]:
        """Return a page of the snapshots in the store, managed or not."""
        managed = {names.snapshot_name(s.id): manageable.Managed(
            s.id, adapter.name(s.volume)) for s in cinder_snapshots}
        return _page(
            manageable.snapshots(self.store, managed, self._objection),
            marker, limit, offset, sort_keys, sort_dirs)

    # -- inside

    def _adopt(self, existing_ref: Any, name: str) -> None:
        with _blamed(existing_ref):
            source = manageable.source_of(existing_ref)
            if self.store.exists(name):
                return  # done before
            self._free(existing_ref)
            size_gib = manageable.size_of(self.store, source)
            self.store.adopt(source, name, size_gib * stats.GIB)
        LOG.info('%s in %s is managed as %s', source, self.store.location,
                 name)

    def _free(self, existing_ref: Any) -> str:
        """Return the name in a reference, when it is not managed yet."""
        source = manageable.source_of(existing_ref)
        problem = self._objection(source) if names.is_name(source) else None
        if problem == manageable.MANAGED:
            raise cinder_exception.ManageExistingAlreadyManaged(
                volume_ref=source)
        if problem:
            raise exception.StoreError(f'take over {source}', problem)
        return source

    def _objection(self, name: str) -> str | None:
        """Say why a backing must not be managed, None when it may be."""
        kind, _, its_id = name.partition('-')
        if self._is_known(kind, its_id):
            return manageable.MANAGED
        if kind == 'volume' and self.exports.is_exported(its_id):
            return 'it is exported'
        return None

    def _is_known(self, kind: str, its_id: str) -> bool:
        """Tell whether Cinder has a volume or snapshot on that backing."""
        context = cinder_context.get_admin_context()
        if kind == 'snapshot':
            return bool(objects.Snapshot.exists(context, its_id))
        # Wherever it is: a volume that is on its way to this backend has its
        # backing here before Cinder says so, and the host may have had
        # another name. After a migration the backing has another id.
        return bool(self._records.of_backings([its_id]))


@contextlib.contextmanager
def _blamed(existing_ref: Any) -> Iterator[None]:
    """Blame the reference for what does not fit, but not for a full store."""
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

# SPDX-License-Identifier: Apache-2.0
"""Reads the metrics of a backend."""

from collections.abc import Iterable, Sequence

from mydriver import exception, model
from mydriver.backend import settings
from mydriver.cmd import backends, health, served
from mydriver.cmd.monitoring import catalogue, collector
from mydriver.stores import base
from mydriver.stores.lvmthin import store as lvmthin
from mydriver.target import pool, statistics
from mydriver.target.journal import identities, values

_Counted = tuple[list[tuple[str, statistics.Logins]],
                 list[statistics.ExportIo]]


class BackendSource:
    """The metrics of a backend.

    :param backend: the backend.
    """

    def __init__(self, backend: backends.Backend) -> None:
        self._backend = backend
        self._store: base.VolumeStore | None = None
        self._identities: identities.Identities | None = None

    @property
    def name(self) -> str:
        """The backend's name."""
        return self._backend.name

    def parts(self) -> Iterable[tuple[str, collector.Part]]:
        """See :meth:`.collector.Source.parts`."""
        return (('store', self._room), ('exports', self._exports))

    def _room(self, families: catalogue.Families) -> None:
        if self._store is None:
            self._store = settings.store_of(self._backend.section, self.name)
        if isinstance(self._store, lvmthin.LvmThinStore):
            if self._is_to_be_made(self._store):
                return
            self._pool(self._store, families)
        room = self._store.capacity()
        families.add('store_size_bytes', room.total_bytes, self.name)
        families.add('store_free_bytes', room.free_bytes, self.name)
        families.add('store_provisioned_bytes', room.provisioned_bytes,
                     self.name)

    def _is_to_be_made(self, store: lvmthin.LvmThinStore) -> bool:
        """Tell whether cinder-volume makes the pool when it first starts."""
        if store.is_known or self._backend.has_journal():
            return False
        try:
            store.check()
        except exception.NotYetMade:
            return True
        except exception.MyDriverError:
            pass  # the samples show what is wrong
        return False

    def _pool(self, store: lvmthin.LvmThinStore,
              families: catalogue.Families) -> None:
        """Add the state of a thin pool.

        :raises StoreError: when it is not active; nothing waits for it.
        """
        found = store.pool_status()
        families.add('pool_working', int(
            found is not None and not found.trouble), self.name)
        if found is None:
            raise exception.StoreError(
                f'use thin pool {store.location}', 'it is not active')
        if not found.data_bytes:  # the kernel does not tell
            return
        for name, value in (
                ('data_size', found.data_bytes),
                ('data_used', found.data_used_bytes),
                ('metadata_size', found.metadata_bytes),
                ('metadata_used', found.metadata_used_bytes)):
            families.add(f'pool_{name}_bytes', value, self.name)

    def _exports(self, families: catalogue.Families) -> None:
        if self._backend.has_gateways:
            self._served(families)
            return
        if not self._backend.has_journal():
            families.add('journal_present', 0, self.name)
            return
        if self._identities is None:
            self._identities = identities.Identities(
                self._backend.journal_path)
        found = health.compare(self._identities.read(),
                               statistics.HOST.observe)
        counted = self._counted(found.targets)
        families.add('journal_present', 1, self.name)
        for kind, count in found.wanted.items():
            families.add(kind, count, self.name)
        for kind, count in found.missing.items():
            families.add('drift_objects', count, self.name, kind)
        self._kernel(families, counted)

    def _served(self, families: catalogue.Families) -> None:
        gateways = served.look(self._backend)
        found = served.read(self._backend, gateways.served)
        counted = self._counted(found.targets)
        for state, names in (('up', gateways.up), ('gone', gateways.gone),
                             ('draining', gateways.draining)):
            families.add('gateways', len(names), self.name, state)
        families.add('journal_present', 1, self.name)
        for kind, count in (('targets', len(found.targets)),
                            ('exports', found.exports),
                            ('mappings', found.mappings)):
            families.add(kind, count, self.name)
        for kind, names in (('targets', found.unserved),
                            ('exports', found.faults), ('late', found.late)):
            families.add('drift_objects', len(names), self.name, kind)
        self._kernel(families, counted)

    def _counted(self, targets: Sequence[model.Iqn]) -> _Counted:
        """Return what the kernel counts, for the targets that it has.

        All of it is read before anything of it is added.
        """
        return ([(str(target), statistics.HOST.logins(target))
                 for target in targets],
                list(statistics.by_volume(statistics.HOST.exports(
                    targets, pool.backstore_prefix(self.name))).values()))

    def _kernel(self, families: catalogue.Families, counted: _Counted
                ) -> None:
        """Add what the kernel counts."""
        targets, exports = counted
        for its, logins in targets:
            families.add('sessions', logins.sessions, self.name, its)
            families.add('logins', logins.accepted, self.name, its)
            families.add('login_failures', logins.failed, self.name, its)
            for reason, count in logins.errors.items():
                families.add('session_errors', count, self.name, its, reason)
        for seen in exports:
            if values.is_uuid(seen.volume_id):
                self._export(families, seen)

    def _export(self, families: catalogue.Families,
                seen: statistics.ExportIo) -> None:
        labels = self.name, seen.volume_id
        families.add('export_commands', seen.io.commands, *labels)
        families.add('export_read_bytes', seen.io.read_bytes, *labels)
        families.add('export_written_bytes', seen.io.written_bytes, *labels)
        if seen.disk:
            families.add('export_inflight_requests', seen.disk.in_flight,
                         *labels)

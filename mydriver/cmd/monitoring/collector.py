# SPDX-License-Identifier: Apache-2.0
"""Reads the metrics of the backends at each scrape.

Durations and failures of the driver's operations are not among them: they are
events in the logs of the services. Whatever reads those is one more
:class:`Source`.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
import importlib.metadata
import time
from typing import Protocol

from oslo_log import log as logging
from prometheus_client import core, registry

from mydriver import exception, model
from mydriver.backend import settings
from mydriver.cmd import backends, health, rivals, served
from mydriver.cmd.monitoring import catalogue
from mydriver.stores import base
from mydriver.stores.lvmthin import store as lvmthin
from mydriver.target import pool, statistics
from mydriver.target.journal import values

LOG = logging.getLogger(__name__)

_Part = Callable[[catalogue.Families], None]


class Source(Protocol):
    """Something that metrics are read from."""

    @property
    def name(self) -> str:
        """Names it in the label ``backend``."""

    def parts(self) -> Iterable[tuple[str, _Part]]:
        """Yield names of parts, and the functions that read them.

        A function that raises an error has added nothing that is wrong.
        """


class Collector(registry.Collector):
    """Reads all sources; one that fails does not stop the others.

    :param sources: what to read.
    """

    def __init__(self, sources: Sequence[Source]) -> None:
        self._sources = sources
        #: The errors of the last scrape, by source and part.
        self.errors: dict[tuple[str, str], str] = {}

    def describe(self) -> Iterable[core.Metric]:
        """Return the metrics that there can be, without reading any."""
        return catalogue.described()

    def collect(self) -> Iterator[core.Metric]:
        """Read the metrics."""
        families = catalogue.Families()
        families.add('build_info', 1, importlib.metadata.version('mydriver'))
        families.add('scrape_timestamp_seconds', time.time())
        families.add('rival_warnings', len(list(rivals.warnings())))
        errors: dict[tuple[str, str], str] = {}
        for source in self._sources:
            started_s = time.monotonic()
            for part, read in source.parts():
                error = self._read(families, source.name, part, read)
                families.add('scrape_success', int(not error), source.name,
                             part)
                if error:
                    errors[source.name, part] = error
            families.add('scrape_duration_seconds',
                         time.monotonic() - started_s, source.name)
        self.errors = errors
        return iter(families)

    def _read(self, families: catalogue.Families, name: str, part: str,
              read: _Part) -> str:
        """Read a part; return the error, if any, logged once."""
        try:
            read(families)
        except exception.MyDriverError as e:
            if self.errors.get((name, part)) != str(e):
                LOG.error('Backend %s: %s: %s', name, part, e)
            return str(e)
        except Exception as e:  # the others are read all the same
            if self.errors.get((name, part)) != repr(e):
                LOG.exception('Backend %s: %s cannot be read', name, part)
            return repr(e)
        return ''


class BackendSource:
    """The metrics of a backend.

    :param backend: the backend.
    """

    def __init__(self, backend: backends.Backend) -> None:
        self._backend = backend
        self._store: base.VolumeStore | None = None

    @property
    def name(self) -> str:
        """The backend's name."""
        return self._backend.name

    def parts(self) -> Iterable[tuple[str, _Part]]:
        """See :meth:`Source.parts`."""
        return (('store', self._room), ('exports', self._exports))

    def _room(self, families: catalogue.Families) -> None:
        if self._store is None:
            self._store = settings.store_of(self._backend.section, self.name)
        if isinstance(self._store, lvmthin.LvmThinStore):
            self._pool(self._store, families)
        room = self._store.capacity()
        families.add('store_size_bytes', room.total_bytes, self.name)
        families.add('store_free_bytes', room.free_bytes, self.name)
        families.add('store_provisioned_bytes', room.provisioned_bytes,
                     self.name)

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
        is_there = self._backend.has_journal()
        families.add('journal_present', int(is_there), self.name)
        if not is_there:
            return
        found = health.compare(self._backend, statistics.HOST.observe)
        for kind, count in found.wanted.items():
            families.add(kind, count, self.name)
        for kind, count in found.missing.items():
            families.add('drift_objects', count, self.name, kind)
        self._kernel(families, found.targets)

    def _served(self, families: catalogue.Families) -> None:
        gateways = served.look(self._backend)
        for state, names in (('up', gateways.up), ('gone', gateways.gone),
                             ('draining', gateways.draining)):
            families.add('gateways', len(names), self.name, state)
        found = served.read(self._backend, gateways.served)
        families.add('journal_present', 1, self.name)
        for kind, count in (('targets', len(found.targets)),
                            ('exports', found.exports),
                            ('mappings', found.mappings)):
            families.add(kind, count, self.name)
        for kind, names in (('targets', found.unserved),
                            ('exports', found.faults), ('late', found.late)):
            families.add('drift_objects', len(names), self.name, kind)
        self._kernel(families, found.targets)

    def _kernel(self, families: catalogue.Families,
                targets: Sequence[model.Iqn]) -> None:
        """Add what the kernel counts, for the targets that it has."""
        for target in targets:
            logins, its = statistics.HOST.logins(target), str(target)
            families.add('sessions', logins.sessions, self.name, its)
            families.add('logins', logins.accepted, self.name, its)
            families.add('login_failures', logins.failed, self.name, its)
            for reason, count in logins.errors.items():
                families.add('session_errors', count, self.name, its, reason)
        for seen in statistics.HOST.exports(
                targets, pool.backstore_prefix(self.name)):
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

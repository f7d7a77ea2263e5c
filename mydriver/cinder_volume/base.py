# SPDX-License-Identifier: Apache-2.0
"""Base of the driver: its options, set-up and stats."""

import abc
import dataclasses
from typing import Any, Protocol

from cinder import coordination
from cinder import exception as cinder_exception
from cinder.volume import driver as cinder_driver
from cinder.volume import volume_utils
from oslo_config import cfg

from mydriver import connection, releases
from mydriver.backend import devices, opts, settings
from mydriver.ceph import blocking, cluster, omap
from mydriver.cinder_volume import (
    clustering,
    database,
    errors,
    inflight,
    native,
    parts,
    protocols,
    records,
    startup,
    stats,
    threads,
)
from mydriver.stores import base as stores
from mydriver.stores import sharing
from mydriver.target import exports, factory, pool
from mydriver.target.gateways import factory as gateways

cfg.CONF.register_opts(opts.VOLUME_OPTS, group=opts.SHARED_SECTION)


class Engine(Protocol):
    """Creates what a backend works with; tests pass another one."""

    def store_of(self, conf: Any, name: str) -> stores.VolumeStore:
        """Return the store of a section of cinder.conf."""

    def exports_of(self, conf: Any, wanted: pool.Settings,
                   store: stores.VolumeStore) -> exports.ExportService:
        """Return the export service of a backend."""

    def notes_of(self, conf: Any, wanted: pool.Settings) -> omap.Objects:
        """Return where the services of a cluster remember things."""


class KernelEngine:
    """The real stores, and exports on the kernel's target."""

    def store_of(self, conf: Any, name: str) -> stores.VolumeStore:
        """See :class:`Engine`."""
        return settings.store_of(conf, name)

    def exports_of(self, conf: Any, wanted: pool.Settings,
                   store: stores.VolumeStore) -> exports.ExportService:
        """See :class:`Engine`."""
        here = devices.StoreDevices(store)
        if wanted.gateways is None:
            return factory.build(wanted, here, replace_damaged=True)
        connection = cluster.Cluster(settings.ceph_of(conf))
        return gateways.build_service(
            gateways.settings_of(wanted, connection), connection,
            devices.DistantDevices(store), here,
            watch=not threads.are_green())

    def notes_of(self, conf: Any, wanted: pool.Settings) -> omap.Objects:
        """See :class:`Engine`."""
        return gateways.objects_of(
            wanted, cluster.Cluster(settings.ceph_of(conf)))


class BackendDriver(cinder_driver.VolumeDriver):
    """A driver for one backend, made of the parts from :meth:`assemble`.

    :param records: Cinder's database, by default the real one.
    :param engine: creates what it is set up with.
    """

    VERSION = releases.own()
    CI_WIKI_NAME = None
    # Cinder asks before there are settings; see :mod:`.clustering` for what
    # may be in a cluster.
    SUPPORTS_ACTIVE_ACTIVE = True

    def __init__(self, *args: Any, records: records.Records | None = None,
                 engine: Engine | None = None, **kwargs: Any) -> None:
        # This runs in the parent of cinder-volume's worker: only settings.
        super().__init__(*args, **kwargs)
        self.configuration.append_config_values(opts.VOLUME_OPTS)
        self.records = records or database.CinderRecords()
        self.engine = engine or KernelEngine()
        self._name = self.configuration.config_group or 'DEFAULT'
        self._backend: parts.Backend | None = None
        self.parts = parts.Parts()

    @abc.abstractmethod
    def assemble(self, backend: parts.Backend) -> list[Any]:
        """Return the parts of the driver, made for a backend."""

    @property
    def backend(self) -> parts.Backend:
        """The backend, once the driver is set up.

        :raises DriverNotInitialized: before.
        """
        if self._backend is None:
            raise cinder_exception.DriverNotInitialized
        return self._backend

    # -- set-up

    @classmethod
    def get_driver_options(cls) -> list[cfg.Opt]:
        """Return the options that the driver reads."""
        return [*opts.VOLUME_OPTS,
                *cls._get_oslo_driver_opts(*opts.USED_OF_CINDER)]

    @errors.translated()
    def do_setup(self, context: Any) -> None:
        """Assemble the parts; Cinder may call this several times."""
        threads.adapt_pool()
        blocking.use(threads.run)
        if self._backend is None:
            self._backend = self._make_backend(dataclasses.replace(
                settings.of_service(self.configuration, self._name),
                service=self.host))
        self.parts = parts.Parts(
            (type(part), part) for part in self.assemble(self._backend))

    def _make_backend(self, wanted: pool.Settings) -> parts.Backend:
        settings.refuse_replication(self.configuration)
        store = self._store_of(self.configuration, self._name)
        remembered: inflight.Storage = inflight.Memory()
        if self.cluster_name:
            clustering.check(wanted, store)
            remembered = inflight.Shared(self.engine.notes_of(
                self.configuration, wanted))
        if (shared := sharing.of(store)) is not None:
            shared.serve(self.host, is_shared=bool(self.cluster_name))
        settings.prepare_state(wanted.state_path)
        return parts.Backend(
            self._name, self.host, self.configuration, self.records, store,
            self.engine.exports_of(self.configuration, wanted, store),
            self._store_of, inflight.InFlight(remembered), self.cluster_name)

    def _store_of(self, conf: Any, name: str) -> stores.VolumeStore:
        return threads.native(self.engine.store_of(conf, name))

    @errors.translated()
    def check_for_setup_error(self) -> None:
        """Check that the host can serve, and bring the target up to date."""
        startup.Startup(self.backend).run()

    @classmethod
    def clean_volume_file_locks(cls, volume_id: str) -> None:
        """Remove the lock file of a deleted volume."""
        coordination.synchronized_remove(parts.LOCK_PREFIX + volume_id)

    # -- stats

    def get_pool(self, volume: Any) -> str:
        """Return the name of the only pool."""
        return str(self.configuration.safe_get('volume_backend_name')
                   or self._name)

    def get_default_filter_function(self) -> str:
        """Return the filter function that applies without a configured one."""
        return stats.FILTER

    def get_default_goodness_function(self) -> str:
        """Return the goodness function to use where none is configured."""
        return stats.goodness(self._ratio())

    def _ratio(self) -> float | str:
        ratio: float | str = volume_utils.get_max_over_subscription_ratio(
            self.configuration.max_over_subscription_ratio,
            supports_auto=True)
        return ratio

    def _init_vendor_properties(self) -> tuple[dict[str, Any], str]:
        properties: dict[str, Any] = {}
        if native.Native(self.backend).policy is not None:
            self._set_property(
                properties, protocols.EXTRA_SPEC, 'Protocol',
                'How servers reach the volume: natively (rbd), or over iSCSI. '
                'Without it, each host gets the best that it can use.',
                'string', enum=[str(p) for p in connection.Protocol])
        return properties, 'mydriver'

    def _update_volume_stats(self) -> None:
        conf = self.configuration
        self._stats = stats.build(stats.Backend(
            name=self.get_pool(None),
            version=self.VERSION,
            location=str(self.backend.place),
            reserved_percentage=conf.reserved_percentage,
            max_over_subscription_ratio=self._ratio(),
            store_kind=conf.mydriver_store,
            offers_native=native.Native(self.backend).policy not in (
                None, protocols.Policy.NEVER),
            filter_function=self.get_filter_function(),
            goodness_function=self.get_goodness_function()),
            self.backend.store, self.backend.exports.check_serving)

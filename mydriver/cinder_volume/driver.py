# SPDX-License-Identifier: Apache-2.0
"""The Cinder volume driver: Cinder's objects in, dicts out, no logic.

Each backing is named after ``volume.name_id``, not ``volume.id``: after a
migration they differ. Every call that changes who may use a volume holds that
volume's lock, since Cinder's manager takes none around them.
"""

from collections.abc import Iterable
import socket
from typing import Any, cast

from cinder import context as cinder_context
from cinder import coordination, interface, objects
from cinder import exception as cinder_exception
from cinder.volume import driver as cinder_driver
from cinder.volume import volume_utils
from eventlet import tpool
from oslo_config import cfg
from oslo_log import log as logging

from mydriver import exception
from mydriver.cinder_volume import (
    attachments,
    errors,
    images,
    opts,
    service,
    settings,
    stats,
)
from mydriver.cinder_volume.stores import base

LOG = logging.getLogger(__name__)

cfg.CONF.register_opts(opts.VOLUME_OPTS, group=opts.SHARED_SECTION)

_LOCK_PREFIX = 'mydriver-'
_LOCK = _LOCK_PREFIX + '{volume.name_id}'


@interface.volumedriver
class LIODriver(cinder_driver.VolumeDriver):
    """Volumes in files, exported over iSCSI by the Linux kernel's target."""

    VERSION = '1.0.0'
    CI_WIKI_NAME = None

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        # This runs in the parent of cinder-volume's worker: only settings.
        super().__init__(*args, **kwargs)
        self.configuration.append_config_values(opts.VOLUME_OPTS)
        self._backend = self.configuration.config_group or 'DEFAULT'
        self._store: base.VolumeStore | None = None
        self._service: service.ExportService | None = None

    @classmethod
    def get_driver_options(cls) -> list[cfg.Opt]:
        """Return the options that the driver reads."""
        return [*opts.VOLUME_OPTS,
                *cls._get_oslo_driver_opts(*opts.USED_OF_CINDER)]

    # -- life

    @errors.translated()
    def do_setup(self, context: Any) -> None:
        """Put the parts together; Cinder may try several times."""
        images.suit_thread_pool()
        wanted = settings.of_service(self.configuration, self._backend)
        self._store = self._make_store()
        if self._service is None:
            settings.prepare_state(wanted.state_path)
            self._service = self._make_service(wanted)

    @errors.translated()
    def check_for_setup_error(self) -> None:
        """See that the host can serve, and bring the target up to date."""
        self.store.check()
        self.exports.check()
        self.exports.start()
        self.exports.settle(attachments.liveness(self._volumes))

    def _make_store(self) -> base.VolumeStore:
        # Files are flushed in native threads; green ones go on meanwhile.
        return cast(base.VolumeStore,
                    tpool.Proxy(settings.store_of(self.configuration)))

    def _make_service(self, wanted: service.ServiceSettings
                      ) -> service.ExportService:
        return service.build(wanted)

    def _volumes(self) -> Iterable[Any]:
        """Return all volumes that Cinder has on this backend."""
        volumes: Iterable[Any] = objects.VolumeList.get_all_by_host(
            cinder_context.get_admin_context(), self.host)
        return volumes

    @property
    def store(self) -> base.VolumeStore:
        """The store, once the driver is set up."""
        if self._store is None:
            raise cinder_exception.DriverNotInitialized
        return self._store

    @property
    def exports(self) -> service.ExportService:
        """The exports, once the driver is set up."""
        if self._service is None:
            raise cinder_exception.DriverNotInitialized
        return self._service

    # -- volumes and snapshots

    @errors.translated()
    def create_volume(self, volume: Any) -> None:
        """Make an empty volume."""
        self.store.create(_name(volume), volume.size * stats.GIB)

    @errors.translated()
    @coordination.synchronized(_LOCK)
    def delete_volume(self, volume: Any) -> None:
        """Delete a volume, unless a host may still use it."""
        if not self.exports.remove_export(volume.name_id):
            raise exception.TargetInUse(volume.name_id, 'a host')
        self.store.delete(_name(volume))

    @errors.translated()
    @coordination.synchronized(_LOCK)
    def extend_volume(self, volume: Any, new_size: int) -> None:
        """Grow a volume, in use or not.

        :param new_size: in GiB.
        """
        size_bytes = new_size * stats.GIB
        self.store.extend(_name(volume), size_bytes)
        try:
            self.exports.resize(volume.name_id, size_bytes)
        except exception.MyDriverError as e:
            # It has grown; hosts see it when they attach anew.
            LOG.error('Volume %s has grown to %d GiB, but its hosts cannot '
                      'see it: %s', volume.name_id, new_size, e)
            raise cinder_exception.TargetUpdateFailed(
                volume_id=volume.id) from e

    @errors.translated()
    def create_snapshot(self, snapshot: Any) -> None:
        """Keep what a volume holds now, in use or not."""
        self.store.snapshot(_name(snapshot.volume),
                            base.snapshot_name(snapshot.id))

    @errors.translated()
    def delete_snapshot(self, snapshot: Any) -> None:
        """Delete a snapshot; volumes made from it stay."""
        self.store.delete(base.snapshot_name(snapshot.id))

    @errors.translated()
    def create_volume_from_snapshot(self, volume: Any, snapshot: Any) -> None:
        """Make a volume that holds what a snapshot holds, or larger."""
        self.store.clone(base.snapshot_name(snapshot.id), _name(volume),
                         volume.size * stats.GIB)

    @errors.translated()
    def create_cloned_volume(self, volume: Any, src_vref: Any) -> None:
        """Make a volume that holds what another holds now, or larger."""
        self.store.clone(_name(src_vref), _name(volume),
                         volume.size * stats.GIB)

    def retype(self, context: Any, volume: Any, new_type: Any, diff: Any,
               host: Any) -> tuple[bool, None]:
        """Nothing of a volume's type is kept here, so nothing changes."""
        return True, None

    # -- images

    @errors.translated()
    def copy_image_to_volume(self, context: Any, volume: Any,
                             image_service: Any, image_id: str,
                             disable_sparse: bool = False) -> None:
        """Write an image to a new volume."""
        images.fetch(
            context, image_service, image_id,
            self.store.device(_name(volume)).path, size_gib=volume.size,
            block_size=self.configuration.volume_dd_blocksize,
            disable_sparse=disable_sparse)
        self.store.extend(_name(volume), volume.size * stats.GIB)

    @errors.translated()
    def copy_volume_to_image(self, context: Any, volume: Any,
                             image_service: Any,
                             image_meta: dict[str, Any]) -> None:
        """Write a volume to an image."""
        images.upload(context, image_service, image_meta,
                      self.store.device(_name(volume)).path, volume)

    def backup_use_temp_snapshot(self) -> bool:
        """Back up from a clone: it costs no more than a snapshot here."""
        return False

    # -- exports and connections

    @errors.translated()
    @coordination.synchronized(_LOCK)
    def create_export(self, context: Any, volume: Any,
                      connector: Any) -> None:
        """Make the LUN of a volume exist on a target."""
        self.exports.create_export(volume.name_id,
                                   self.store.device(_name(volume)))

    @errors.translated()
    @coordination.synchronized(_LOCK)
    def ensure_export(self, context: Any, volume: Any) -> None:
        """Make sure that it does, for a volume in use, at start."""
        self.exports.ensure_export(volume.name_id,
                                   self.store.device(_name(volume)))

    @errors.translated()
    @coordination.synchronized(_LOCK)
    def remove_export(self, context: Any, volume: Any) -> None:
        """Remove the LUN of a volume, unless a host may still use it."""
        self.exports.remove_export(volume.name_id)

    @errors.translated()
    def validate_connector(self, connector: dict[str, Any]) -> None:
        """Refuse a connector that cannot be served."""
        service.initiator_of(connector)

    @errors.translated()
    @coordination.synchronized(_LOCK)
    def initialize_connection(self, volume: Any, connector: dict[str, Any]
                              ) -> dict[str, Any]:
        """Let a host use an exported volume; return how it reaches it."""
        return {
            'driver_volume_type': 'iscsi',
            'data': self.exports.initialize_connection(
                volume.name_id, connector,
                read_only=attachments.is_read_only(volume),
                encrypted=bool(volume.encryption_key_id)),
        }

    @errors.translated()
    @coordination.synchronized(_LOCK)
    def terminate_connection(self, volume: Any,
                             connector: dict[str, Any] | None,
                             **kwargs: Any) -> bool:
        """Take a volume from a host, or from all hosts.

        :param connector: of the host, None for all of them.
        :returns: True while the volume is still used, so that its export
            must stay.
        """
        if connector is not None and attachments.is_shared(
                volume, service.initiator_of(connector)):
            return True
        return self.exports.terminate_connection(volume.name_id, connector)

    @classmethod
    def clean_volume_file_locks(cls, volume_id: str) -> None:
        """Remove what the lock of a deleted volume leaves behind."""
        coordination.synchronized_remove(_LOCK_PREFIX + volume_id)

    # -- what the scheduler is told

    def get_pool(self, volume: Any) -> str:
        """Return the name of the only pool."""
        return self._name_of_backend()

    def _name_of_backend(self) -> str:
        return str(self.configuration.safe_get('volume_backend_name')
                   or self._backend)

    def _update_volume_stats(self) -> None:
        conf = self.configuration
        self._stats = stats.build(stats.Backend(
            name=self._name_of_backend(),
            version=self.VERSION,
            location=f'LIODriver:{socket.gethostname()}:{self.store.location}',
            reserved_percentage=conf.reserved_percentage,
            max_over_subscription_ratio=(
                volume_utils.get_max_over_subscription_ratio(
                    conf.max_over_subscription_ratio, supports_auto=True)),
            filter_function=self.get_filter_function(),
            goodness_function=self.get_goodness_function()), self.store)


def _name(volume: Any) -> str:
    """Return the name of a volume's backing."""
    return base.volume_name(volume.name_id)

# SPDX-License-Identifier: Apache-2.0
"""What the driver's parts stand on: its options, its life and its stats.

:mod:`mydriver.cinder_volume.driver` puts the parts together; each of the
others is one idea of Cinder's driver interface.
"""

from collections.abc import Iterable
import os
import socket
from typing import Any, cast

from cinder import context as cinder_context
from cinder import exception as cinder_exception
from cinder import objects
from cinder.volume import configuration, volume_utils
from cinder.volume import driver as cinder_driver
from eventlet import tpool
from oslo_config import cfg
from oslo_log import log as logging
from oslo_utils import importutils

from mydriver import exception
from mydriver.backend import devices, opts, settings
from mydriver.cinder_volume import (
    attachments,
    errors,
    image_transfer,
    inflight,
    records,
    stats,
)
from mydriver.stores import base, copying
from mydriver.target import exports as service
from mydriver.target import factory, pool

LOG = logging.getLogger(__name__)

cfg.CONF.register_opts(opts.VOLUME_OPTS, group=opts.SHARED_SECTION)

#: States of volumes that have a backing.
_THERE = frozenset({'available', 'in-use'})

#: Begins the name of a volume's lock.
LOCK_PREFIX = 'mydriver-'
#: Each call that changes who may use a volume holds this one.
LOCK = LOCK_PREFIX + '{volume.name_id}'


class Adapter(cinder_driver.VolumeDriver):
    """A backend: its store and its exports, and what it says of itself."""

    VERSION = '1.0.0'
    CI_WIKI_NAME = None

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        # This runs in the parent of cinder-volume's worker: only settings.
        super().__init__(*args, **kwargs)
        self.configuration.append_config_values(opts.VOLUME_OPTS)
        self._backend = self.configuration.config_group or 'DEFAULT'
        self._store: base.VolumeStore | None = None
        self._service: service.ExportService | None = None
        self.in_flight = inflight.InFlight()
        self._records = self._make_records()

    @classmethod
    def get_driver_options(cls) -> list[cfg.Opt]:
        """Return the options that the driver reads."""
        return [*opts.VOLUME_OPTS,
                *cls._get_oslo_driver_opts(*opts.USED_OF_CINDER)]

    # -- life

    @errors.translated()
    def do_setup(self, context: Any) -> None:
        """Put the parts together; Cinder may try several times."""
        image_transfer.suit_thread_pool()
        wanted = settings.of_service(self.configuration, self._backend)
        if self._store is None:
            self._store = self._make_store(self.configuration, self._backend)
        if self._service is None:
            settings.prepare_state(wanted.state_path)
            self._service = self._make_service(wanted)

    @errors.translated()
    def check_for_setup_error(self) -> None:
        """See that the host can serve, and bring the target up to date."""
        self._refuse_shared_place()
        self.store.prepare()
        try:
            self.store.check()
        except exception.StoreError as e:
            # As a full pool is: what there is can be served and deleted.
            LOG.error('Backend %s takes nothing new: %s', self._backend, e)
        self._check_first_start()
        for kept in self.store.recover():
            LOG.warning('Keeping %s', kept)
        self.exports.check()
        self.exports.reconciler.start()
        self._settle()

    def _refuse_shared_place(self) -> None:
        """See that no other backend of this service has the same store.

        :raises ConfigurationError: names both.
        """
        # Not at the top: it needs Cinder's objects, which come later.
        manager = importutils.import_module('cinder.volume.manager')
        self.configuration.append_config_values(manager.volume_backend_opts)
        mine = self.configuration.safe_get('volume_driver')
        for name in cfg.CONF.enabled_backends or ():
            if name == self._backend:
                continue
            conf = configuration.Configuration(
                manager.volume_backend_opts, config_group=name)
            conf.append_config_values(opts.VOLUME_OPTS)
            try:
                path = conf.safe_get('mydriver_store_path')
                if conf.safe_get('volume_driver') != mine or not path:
                    continue
                theirs = settings.store_of(conf, name).location
            except (exception.ConfigurationError, cfg.Error) as e:
                # That one does not start; this one does.
                LOG.warning('Backend [%s] is not set as it should be: %s',
                            name, e)
                continue
            if os.path.realpath(theirs) == os.path.realpath(
                    self.store.location):
                raise exception.ConfigurationError(
                    'mydriver_store_path', f'[{self._backend}] and [{name}] '
                    f'both keep their volumes in {theirs}',
                    'Give each backend a place of its own.')

    def _settle(self) -> None:
        """Compare the exports with Cinder's records of who uses them."""
        # Not the volumes of a host: its name may have changed.
        stored = self._stored()
        users = attachments.Users(
            self._records, {e.volume_id for e in self.exports.all()}.union(
                stored or ()), stored)
        self.exports.reconciler.settle(users.may_use)
        recorded = users.recorded(self._backend)
        self.exports.reconciler.remake(recorded)
        if users.are_known:
            self.exports.reconciler.forget_keys(recorded)

    def _stored(self) -> set[str] | None:
        """Return the ids of the volumes in the store, None in doubt."""
        try:
            names = self.store.names()
        except exception.MyDriverError as e:
            LOG.warning('The store does not tell what is in it: %s', e)
            return None
        kinds = (n.partition('-') for n in names)
        return {its_id for kind, _, its_id in kinds if kind == 'volume'}

    def _make_records(self) -> attachments.Records:
        return records.CinderRecords()

    def _check_first_start(self) -> None:
        """Refuse an empty place as a new store while Cinder has volumes there.

        From then on the store knows its place by itself.

        :raises ConfigurationError: when that is so.
        """
        if self.store.is_known or self.store.names():
            return
        there = [v.id for v in self._records.of_host(self.host)
                 if v.status in _THERE]
        if there:
            raise exception.ConfigurationError(
                'mydriver_store_path', f'{self.store.location} is empty, but '
                f'Cinder has {len(there)} volumes on this backend, such as '
                f'{there[0]}', 'See that its filesystem is mounted there, or '
                'its disks are. If the volumes are lost, reset their state to '
                'error, and restart cinder-volume.')

    def _make_store(self, conf: settings.Configuration, backend: str
                    ) -> base.VolumeStore:
        store = settings.store_of(conf, backend)
        if not store.needs_native_thread:
            return store
        # Files are flushed in native threads; green ones go on meanwhile.
        return cast(base.VolumeStore, tpool.Proxy(store))

    def _make_service(self, wanted: pool.Settings
                      ) -> service.ExportService:
        return factory.build(wanted, devices.StoreDevices(self.store),
                             replace_damaged=True)

    def _attachments(self, volume: Any) -> Iterable[Any]:
        """Return the attachments that Cinder has of a volume by now."""
        found: Iterable[Any] = (
            objects.VolumeAttachmentList.get_all_by_volume_id(
                cinder_context.get_admin_context(), volume.id))
        return found

    def _reveal(self, volume: Any) -> None:
        """Give a volume the administrator's metadata.

        It says who may write, and Cinder loads it in an administrator's
        context alone (objects.Volume.obj_load_attr). In a user's context the
        manager would tell Nova to write to a volume that is for reading only,
        and we would take its attachment's mode for the volume's: the manager
        looks at the same object after us.
        """
        if not volume._context.is_admin:
            volume.admin_metadata = self._admin_metadata(volume)
            volume.obj_reset_changes(['admin_metadata'])

    def _admin_metadata(self, volume: Any) -> dict[str, str]:
        """Return the administrator's metadata that Cinder has by now."""
        found: dict[str, str] = objects.Volume.get_by_id(
            cinder_context.get_admin_context(), volume.id).admin_metadata
        return found

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

    def withdraw(self, volume: Any) -> None:
        """Make sure that nobody uses a volume, nor can from now on.

        :raises TargetInUse: when a host may.
        """
        for initiator in self.in_flight.forget(volume):
            self.exports.terminate_connection(
                volume.name_id, initiator)
        if self.exports.remove_export(volume.name_id):
            return
        # At start it may have been in doubt who uses it.
        self.exports.reconciler.settle(attachments.Users(
            self._records, {volume.name_id}).may_use, volume.name_id)
        if not self.exports.remove_export(volume.name_id):
            raise exception.TargetInUse(volume.name_id, 'a host')

    def check_copy(self, volume: Any) -> None:
        """Refuse to copy a volume when its users would wait for too long.

        Whether it is used, the target knows: it is exported then.

        :raises StoreError: when it has too many extents.
        """
        if not (self.store.copies_hold_writes
                and self.exports.is_exported(volume.name_id)):
            return
        extents = self.store.extents(name(volume))
        limit = self.configuration.mydriver_max_extents
        if extents > limit:
            raise exception.StoreError(
                f'copy {name(volume)} while it is in use',
                f'it has {extents} extents, and all writes to it would wait '
                'until each of them is shared. Copy it when it is detached, '
                'or merge them then (xfs_fsr), move it to a backend with '
                'lvmthin, or raise mydriver_max_extents, which is '
                f'{limit}')

    def check_blocks(self, what: str, needed_bytes: int, where: str,
                     shown_bytes: int) -> None:
        """Refuse to move something to where the block size is another.

        :param what: that was made for ``needed_bytes``.
        :param where: disks show ``shown_bytes``.
        :raises BlocksDiffer: unless the operator does without.
        """
        if needed_bytes == shown_bytes:
            return
        error = exception.BlocksDiffer(what, needed_bytes, where, shown_bytes)
        if self.configuration.mydriver_check_block_size:
            raise error
        LOG.warning('%s', error)

    # -- what the scheduler is told

    def get_pool(self, volume: Any) -> str:
        """Return the name of the only pool."""
        return self._name_of_backend()

    def _name_of_backend(self) -> str:
        return str(self.configuration.safe_get('volume_backend_name')
                   or self._backend)

    def location_info(self) -> str:
        """Say where the volumes are, in a way that no other place has."""
        return str(copying.Place('LIODriver', socket.gethostname(),
                                  self.store.location))

    def _ratio(self) -> float | str:
        ratio: float | str = volume_utils.get_max_over_subscription_ratio(
            self.configuration.max_over_subscription_ratio,
            supports_auto=True)
        return ratio

    def get_default_filter_function(self) -> str:
        """Return what holds where the operator configured nothing."""
        return stats.FILTER

    def get_default_goodness_function(self) -> str:
        """Return what holds where the operator configured nothing."""
        return stats.goodness(self._ratio())

    def _init_vendor_properties(self) -> tuple[dict[str, Any], str]:
        # No extra spec is read by the driver, so none is offered.
        return {}, 'mydriver'

    def _update_volume_stats(self) -> None:
        conf = self.configuration
        self._stats = stats.build(stats.Backend(
            name=self._name_of_backend(),
            version=self.VERSION,
            location=self.location_info(),
            reserved_percentage=conf.reserved_percentage,
            max_over_subscription_ratio=self._ratio(),
            store_kind=conf.mydriver_store,
            filter_function=self.get_filter_function(),
            goodness_function=self.get_goodness_function()),
            self.store, self.exports.check_serving)


def name(volume: Any) -> str:
    """Return the name of a volume's backing."""
    return base.volume_name(volume.name_id)

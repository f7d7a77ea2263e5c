# SPDX-License-Identifier: Apache-2.0
"""Migration between the backends of one host, and the end of any other.

Between two backends of one host no byte goes over the network: extents are
shared where the stores allow it, otherwise bytes are copied from path to
path. All else is Cinder's own host-assisted migration.
"""

import time
from typing import Any

from cinder import context as cinder_context
from cinder import coordination, objects
from cinder.volume import configuration, volume_utils
from cinder.volume import driver as cinder_driver
from eventlet import tpool
from oslo_concurrency import processutils
from oslo_config import cfg
from oslo_log import log as logging

from mydriver import exception
from mydriver.backend import opts
from mydriver.cinder_volume import base as adapter
from mydriver.cinder_volume import blocks, errors, image_transfer
from mydriver.stores import base, copying, names

LOG = logging.getLogger(__name__)

NOT_HERE = (False, None)

#: In which nobody can use a volume (cinder/volume/api.py, migrate_volume).
_QUIET = frozenset({'available', 'retyping', 'maintenance'})

_REPORT_EVERY_S = 30


class Migrate(adapter.Adapter):
    """migrate_volume and update_migrated_volume."""

    @errors.translated()
    @coordination.synchronized(adapter.LOCK)
    def migrate_volume(self, context: Any, volume: Any, host: Any
                       ) -> tuple[bool, None]:
        """Carry a volume to another backend of this host, if it is one.

        A crash between the end of this and Cinder's own note of it leaves a
        volume on the other backend that Cinder looks for here: asking for
        the migration again mends it.

        :param host: dict with the keys ``host`` (HOST@BACKEND#POOL) and
            ``capabilities``.
        :returns: whether it was done, and no update of the volume's record.
        """
        self._check_destination(volume, host)
        reason, target = self._target(volume, host)
        if target is None:
            LOG.debug('Volume %s is left to host-assisted migration: %s',
                      volume.id, reason)
            return NOT_HERE
        name = adapter.name(volume)
        if target.exists(name) and not self.store.exists(name):
            self.store.check()  # is it there at all, or not mounted?
            LOG.warning('Volume %s is in %s already', volume.id,
                        target.location)
            return True, None
        started = time.monotonic()
        try:
            self._copy(target, name)
        except processutils.ProcessExecutionError as e:
            LOG.warning('Volume %s is left to host-assisted migration: %s',
                        volume.id, e)
            return NOT_HERE
        self.store.delete(name)
        LOG.info('Moved volume %s from %s to %s in %.1f s',
                 volume.id, self.store.location, target.location,
                 time.monotonic() - started)
        return True, None

    def _check_destination(self, volume: Any, host: Any) -> None:
        """Refuse a backend whose disks have other blocks than ours.

        An error ends the migration; otherwise Cinder would go on with its own.
        One that does not say what it has has the usual.

        :raises BlocksDiffer: when that is so.
        """
        shown = blocks.of_capabilities(host.get('capabilities') or {})
        self.check_blocks(f'Volume {volume.id}', self.store.block_bytes(),
                          host['host'], shown or blocks.USUAL_BYTES)

    def check_migrated_blocks(self, volume: Any) -> None:
        """Refuse to be the far end of a migration from other blocks.

        The record of a volume that is such an end has the geometry of the
        one that is migrated (VolumeManager._migrate_volume_generic).

        :raises BlocksDiffer: when that is so.
        """
        status = volume.migration_status or ''
        if status.startswith('target:'):
            self.check_blocks(
                f'Volume {status.removeprefix("target:")}',
                blocks.of_volume(volume) or blocks.USUAL_BYTES,
                self.store.location, self.store.block_bytes())

    def _target(self, volume: Any, host: Any
                ) -> tuple[str, base.VolumeStore | None]:
        """Return the other backend's store, or why there is none."""
        mine = copying.Place.parse(self.location_info())
        theirs = copying.Place.parse(
            (host.get('capabilities') or {}).get('location_info'))
        if volume.status not in _QUIET:
            return f'it is {volume.status}', None
        if mine is None or theirs is None or (
                mine.kind, mine.host) != (theirs.kind, theirs.host):
            return 'the other backend is not on this host', None
        if mine.path == theirs.path:
            return 'it is the same place', None
        if self._has_snapshots(volume):
            return 'it has snapshots', None
        if not self.exports.remove_export(volume.name_id):
            return 'a host may use it', None
        store = self._store_of_backend(host['host'])
        if store is None or store.location != theirs.path:
            return 'the other backend is not in this configuration', None
        # The scheduler's figures may be old.
        self.check_blocks(f'Volume {volume.id}', self.store.block_bytes(),
                          store.location, store.block_bytes())
        return '', store

    def _store_of_backend(self, host: str) -> base.VolumeStore | None:
        """Return the store of another backend of this very service."""
        backend = volume_utils.extract_host(host).partition('@')[2]
        if backend not in (cfg.CONF.enabled_backends or ()):
            return None
        conf = configuration.Configuration(
            cinder_driver.volume_opts, config_group=backend)
        conf.append_config_values(opts.VOLUME_OPTS)
        return self._make_store(conf, backend)

    def _copy(self, target: base.VolumeStore, name: str) -> None:
        """Copy a backing to another store."""
        try:
            self._copy_in_steps(target, name)
        except PermissionError:
            # Device nodes are root's, unless cinder-volume is.
            self._copy_as_root(target, name)

    def _copy_in_steps(self, target: base.VolumeStore, name: str) -> None:
        """Copy a backing in native threads, telling how far it is."""
        copy = copying.Copy(self.store, target, name)
        reported = time.monotonic()
        with copy.begun() as is_needed:
            while is_needed and tpool.execute(copy.step):
                if time.monotonic() - reported > _REPORT_EVERY_S:
                    reported = time.monotonic()
                    LOG.info('Copied %d of %d bytes of %s to %s',
                             copy.done_bytes, copy.size_bytes, name,
                             target.location)

    def _copy_as_root(self, target: base.VolumeStore, name: str) -> None:
        """Copy a backing by Cinder's own helper, which runs as root."""
        device = self.store.device(name)
        target.create(name, device.size_bytes)
        try:
            image_transfer.copy_as_root(device.path, target.device(name).path,
                                device.size_bytes,
                                self.configuration.volume_dd_blocksize)
            target.extend(name, device.size_bytes)
        except BaseException:
            target.delete(name)
            raise

    def _has_snapshots(self, volume: Any) -> bool:
        return bool(objects.SnapshotList.get_all_for_volume(
            cinder_context.get_admin_context(), volume.id))

    @errors.translated()
    @coordination.synchronized(
        adapter.LOCK_PREFIX + '{new_volume.name_id}',
        adapter.LOCK_PREFIX + '{volume.id}')
    def update_migrated_volume(self, ctxt: Any, volume: Any, new_volume: Any,
                               original_volume_status: str
                               ) -> dict[str, str | None]:
        """Name the new backing after the volume, when nobody uses it.

        A host that uses it knows the device by the identity that it has, so
        the name stays then, and the volume's ``name_id`` says which.

        :param volume: the volume, whose record still tells of the old one.
        :param new_volume: the record under which the new one was made.
        :returns: what changes in the record of ``volume``.
        """
        if not self.exports.remove_export(new_volume.name_id):
            LOG.info('Volume %s keeps %s, which a host uses', volume.id,
                     adapter.name(new_volume))
            return {'_name_id': new_volume.name_id}
        try:
            self.store.rename(adapter.name(new_volume),
                              names.volume_name(volume.id))
        except exception.StoreError as e:
            LOG.warning('Volume %s keeps %s: %s', volume.id,
                        adapter.name(new_volume), e)
            return {'_name_id': new_volume.name_id}
        return {'_name_id': None}

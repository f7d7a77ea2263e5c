# SPDX-License-Identifier: Apache-2.0
"""Migration between backends of one host, and the end of any migration.

Between two backends of one host no data crosses the network: extents are
shared if the stores allow it, otherwise data is copied from path to path.
 Every other migration is Cinder's host-assisted one.
"""

import time
from typing import Any

from cinder import coordination
from cinder.volume import configuration, volume_utils
from cinder.volume import driver as cinder_driver
from oslo_concurrency import processutils
from oslo_config import cfg
from oslo_log import log as logging

from mydriver import exception
from mydriver.backend import opts
from mydriver.cinder_volume import (
    blocks,
    image_transfer,
    location,
    native,
    parts,
    threads,
)
from mydriver.stores import base, copying, names

LOG = logging.getLogger(__name__)

NOT_HERE = (False, None)

#: States in which nobody can use a volume (cinder/volume/api.py,
#: migrate_volume).
_QUIET = frozenset({'available', 'retyping', 'maintenance'})

_REPORT_EVERY_S = 30


class Migrate:
    """migrate_volume and update_migrated_volume.

    :param its_native: the hosts that use volumes without a target.
    """

    def __init__(self, backend: parts.Backend, its_native: native.Native
                 ) -> None:
        self._backend = backend
        self._native = its_native
        self._store = backend.store
        self._exports = backend.exports

    @coordination.synchronized(parts.LOCK)
    def migrate_volume(self, context: Any, volume: Any, host: Any
                       ) -> tuple[bool, None]:
        """Move a volume to another backend, if that is on this host.

        A crash before Cinder has recorded the migration leaves the volume on
        the other backend while Cinder looks for it here. Migrating it again
        repairs that.

        :param host: dict with the keys ``host`` (HOST@BACKEND#POOL) and
            ``capabilities``.
        :returns: whether it was done, and no update of the volume's record.
        """
        self._check_destination(volume, host)
        reason, target = self._target(volume, host)
        if target and self._is_used(volume):
            reason, target = 'a host may use it', None
        if target is None:
            LOG.debug('Volume %s is left to host-assisted migration: %s',
                      volume.id, reason)
            return NOT_HERE
        name = names.of_volume(volume)
        if target.exists(name) and not self._store.exists(name):
            self._store.check()  # or is its filesystem not mounted?
            LOG.warning('Volume %s is already in %s', volume.id,
                        target.location)
            return True, None
        started = time.monotonic()
        try:
            self._copy(target, name)
        except processutils.ProcessExecutionError as e:
            LOG.warning('Volume %s is left to host-assisted migration: %s',
                        volume.id, e)
            return NOT_HERE
        self._store.delete(name)
        LOG.info('Moved volume %s from %s to %s in %.1f s',
                 volume.id, self._store.location, target.location,
                 time.monotonic() - started)
        return True, None

    def _is_used(self, volume: Any) -> bool:
        """Withdraw a volume unless a host may use it.

        :returns: whether a host may.
        """
        return bool(self._native.users(volume)) or (
            not self._exports.remove_export(volume.name_id))

    def _check_destination(self, volume: Any, host: Any) -> None:
        """Refuse a backend whose disks have another block size than ours.

        An error ends the migration; declining would make Cinder copy. A
        backend that does not report its block size has the usual one.

        :raises BlocksDiffer: when they differ.
        """
        shown = blocks.of_capabilities(host.get('capabilities') or {})
        self._backend.check_blocks(
            f'Volume {volume.id}', self._store.block_bytes(), host['host'],
            shown or blocks.USUAL_BYTES)

    def _target(self, volume: Any, host: Any
                ) -> tuple[str, base.VolumeStore | None]:
        """Return the other backend's store, or why there is none."""
        mine = self._backend.place
        theirs = location.Place.parse(
            (host.get('capabilities') or {}).get('location_info'))
        if volume.status not in _QUIET:
            return f'it is {volume.status}', None
        if theirs is None or (mine.kind, mine.host) != (
                theirs.kind, theirs.host):
            return 'the other backend is not on this host', None
        if mine.path == theirs.path:
            return 'both backends have the same place', None
        if self._backend.records.has_snapshots(volume.id):
            return 'it has snapshots', None
        store = self._store_of_backend(host['host'])
        if store is None or store.location != theirs.path:
            return 'the other backend is not in this configuration', None
        # The scheduler's figures may be out of date.
        self._backend.check_blocks(
            f'Volume {volume.id}', self._store.block_bytes(), store.location,
            store.block_bytes())
        return '', store

    def _store_of_backend(self, host: str) -> base.VolumeStore | None:
        """Return the store of another backend of this very service."""
        backend = volume_utils.extract_host(host).partition('@')[2]
        if backend not in (cfg.CONF.enabled_backends or ()):
            return None
        conf = configuration.Configuration(
            cinder_driver.volume_opts, config_group=backend)
        conf.append_config_values(opts.VOLUME_OPTS)
        return self._backend.store_of(conf, backend)

    def _copy(self, target: base.VolumeStore, name: str) -> None:
        """Copy a backing to another store."""
        try:
            self._copy_in_steps(target, name)
        except PermissionError:
            # Device nodes belong to root, which cinder-volume rarely runs as.
            self._copy_as_root(target, name)

    def _copy_in_steps(self, target: base.VolumeStore, name: str) -> None:
        """Copy a backing in native threads, and log the progress."""
        copy = copying.Copy(self._store, target, name)
        reported = time.monotonic()
        with copy.begun() as is_needed:
            while is_needed and threads.run(copy.step):
                if time.monotonic() - reported > _REPORT_EVERY_S:
                    reported = time.monotonic()
                    LOG.info('Copied %d of %d bytes of %s to %s',
                             copy.done_bytes, copy.size_bytes, name,
                             target.location)

    def _copy_as_root(self, target: base.VolumeStore, name: str) -> None:
        """Copy a backing with Cinder's own helper, which runs as root."""
        device = self._store.bring_up(name)
        try:
            # A backing that keeps this from succeeding is not ours to delete.
            target.create(name, device.size_bytes)
            try:
                image_transfer.copy_as_root(
                    device.path, target.bring_up(name).path,
                    device.size_bytes,
                    self._backend.options.volume_dd_blocksize)
                target.extend(name, device.size_bytes)
                target.let_down(name)
            except BaseException:
                target.delete(name)
                raise
        finally:
            self._store.let_down(name)

    @coordination.synchronized(
        parts.LOCK_PREFIX + '{new_volume.name_id}',
        parts.LOCK_PREFIX + '{volume.id}')
    def update_migrated_volume(self, ctxt: Any, volume: Any, new_volume: Any,
                               original_volume_status: str
                               ) -> dict[str, str | None]:
        """Name the new backing after the volume, unless a host uses it.

        A host that uses it knows the device by its present identity. The name
        stays then, and the volume's ``name_id`` refers to it.

        :param volume: the volume, whose record still refers to the old
            backing.
        :param new_volume: the record for which the new one was created.
        :returns: what changes in the record of ``volume``.
        """
        if self._is_used(new_volume):
            LOG.info('Volume %s keeps %s, which a host uses', volume.id,
                     names.of_volume(new_volume))
            return {'_name_id': new_volume.name_id}
        try:
            self._store.rename(names.of_volume(new_volume),
                              names.volume_name(volume.id))
        except exception.StoreError as e:
            LOG.warning('Volume %s keeps %s: %s', volume.id,
                        names.of_volume(new_volume), e)
            return {'_name_id': new_volume.name_id}
        return {'_name_id': None}

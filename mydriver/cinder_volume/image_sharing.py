# SPDX-License-Identifier: Apache-2.0
"""Volumes that share the data of an image.

Where the volumes are in Ceph and Glance keeps a raw image in the same cluster,
they are clones of it. Where Glance's file store and the volumes are on one
filesystem with reflinks, a volume from a raw image needs no copy, either.
Cinder offers every image to ``clone_image`` first, and fetches it when that is
declined. Images that are volumes themselves (``cinder://``) are cloned by
Cinder, with ``create_cloned_volume``.
"""

import tempfile
import time
from typing import Any

from oslo_config import cfg
from oslo_log import log as logging
from oslo_utils import units

from mydriver import exception
from mydriver.cinder_volume import (
    ceph_image,
    image_transfer,
    local_image,
    parts,
)
from mydriver.stores import imaging, names

LOG = logging.getLogger(__name__)

NOT_CLONED = (None, False)

#: Formats other than raw show at the beginning of an image.
_HEAD_BYTES = units.Mi


class ImageSharing:
    """clone_image."""

    def __init__(self, backend: parts.Backend) -> None:
        self._backend = backend
        self._store = backend.store

    def clone_image(self, context: Any, volume: Any, image_location: Any,
                    image_meta: Any, image_service: Any) -> tuple[None, bool]:
        """Create a volume that shares an image's extents, where that is safe.

        :param image_location: Glance's direct URL and its locations.
        :returns: no update of the record, and whether it was done.
        """
        self._backend.check_image_blocks(image_meta)
        for place in ceph_image.locations(image_location):
            try:
                self._clone(volume, place, image_meta)
            except exception.ImageNotShareable as e:
                LOG.debug('Volume %s gets a copy of its image: %s',
                          volume.id, e)
                continue
            LOG.info('Volume %s is a clone of image %s', volume.id,
                     image_meta['id'])
            return None, True
        for path in local_image.paths(image_location):
            try:
                figures = self._share(volume, path, image_meta)
            except exception.ImageNotShareable as e:
                LOG.debug('Volume %s gets a copy of its image: %s',
                          volume.id, e)
                continue
            LOG.info('Volume %s shares the extents of image %s; shared in '
                     '%.1f ms, checked to be raw in %.1f ms',
                     volume.id, image_meta['id'], *figures)
            return None, True
        return NOT_CLONED

    def _clone(self, volume: Any, place: imaging.ImageLocation,
               image: Any) -> None:
        """Create the volume as a clone of an image in Ceph."""
        name, size_bytes = names.of_volume(volume), volume.size * units.Gi
        store = imaging.of(self._store)
        if store is None:
            raise exception.ImageNotShareable(
                image['id'], f'it is in Ceph, {self._store.location} is not')
        local_image.check_record(image, size_bytes)
        if not store.clone_image(place, name, size_bytes):
            raise exception.ImageNotShareable(
                image['id'], f'{place.pool}/{place.image} of cluster '
                f'{place.fsid} cannot be reached from {self._store.location}')
        try:
            with tempfile.NamedTemporaryFile() as file:
                file.write(store.head(name, _HEAD_BYTES))
                file.flush()
                image_transfer.check_raw(file.name, image['id'])
        except BaseException:
            self._store.delete(name)
            raise

    def _share(self, volume: Any, path: str,
               image: Any) -> tuple[float, float]:
        """Create the volume; return the ms that sharing and checking took."""
        name, size_bytes = names.of_volume(volume), volume.size * units.Gi
        if 'file' not in cfg.CONF.allowed_direct_url_schemes:
            raise exception.ImageNotShareable(
                image['id'], 'allowed_direct_url_schemes lacks file')
        local_image.check_record(image, size_bytes)
        started = time.monotonic()
        with local_image.opened(path, image) as fd:
            if not self._store.share(fd, name, size_bytes):
                raise exception.ImageNotShareable(
                    image['id'], f'{path} is not on the filesystem of '
                    f'{self._store.location}')
        shared = time.monotonic()
        try:
            # Only now can nobody but us write to it.
            with self._backend.exports.local_device(
                    volume.name_id) as device:
                image_transfer.check_raw(device.path, image['id'])
        except BaseException:
            self._store.delete(name)
            raise
        return (shared - started) * 1e3, (time.monotonic() - shared) * 1e3

# SPDX-License-Identifier: Apache-2.0
"""Volumes that share the extents of an image's file.

Where Glance's file store and the volumes are on one filesystem with reflinks,
a volume from a raw image needs no copy. Cinder offers every image to
``clone_image`` first and fetches it when that does not work out. Images that
are volumes themselves (``cinder://``) Cinder clones by itself, with
``create_cloned_volume``.
"""

import time
from typing import Any

from oslo_config import cfg
from oslo_log import log as logging

from mydriver import exception
from mydriver.cinder_volume import (
    base,
    blocks,
    errors,
    image_transfer,
    local_image,
    stats,
)

LOG = logging.getLogger(__name__)

NOT_CLONED = (None, False)


class ImageSharing(base.Adapter):
    """clone_image."""

    @errors.translated()
    def clone_image(self, context: Any, volume: Any, image_location: Any,
                    image_meta: Any, image_service: Any) -> tuple[None, bool]:
        """Make a volume that shares an image's extents, where that is safe.

        :param image_location: Glance's direct URL and its locations.
        :returns: no update of the record, and whether it was done.
        """
        self.check_image_blocks(image_meta)
        for path in local_image.paths(image_location):
            try:
                figures = self._share(volume, path, image_meta)
            except exception.ImageNotShareable as e:
                LOG.debug('Volume %s gets a copy of its image: %s',
                          volume.id, e)
                continue
            LOG.info('Volume %s shares the extents of image %s; shared in '
                     '%.1f ms, seen to be raw in %.1f ms',
                     volume.id, image_meta['id'], *figures)
            return None, True
        return NOT_CLONED

    def check_image_blocks(self, image: Any) -> None:
        """Refuse an image that was made for another block size.

        Before Cinder tries any of its ways to make a volume of it.

        :raises BlocksDiffer: when it was.
        """
        self.check_blocks(f'Image {image["id"]}', blocks.of_image(image),
                          self.store.location, self.store.block_bytes())

    def _share(self, volume: Any, path: str,
               image: Any) -> tuple[float, float]:
        """Make the volume; return what sharing and looking took, in ms."""
        name, size_bytes = base.name(volume), volume.size * stats.GIB
        if 'file' not in cfg.CONF.allowed_direct_url_schemes:
            raise exception.ImageNotShareable(
                image['id'], 'allowed_direct_url_schemes lacks file')
        local_image.check_record(image, size_bytes)
        started = time.monotonic()
        with local_image.opened(path, image) as fd:
            if not self.store.share(fd, name, size_bytes):
                raise exception.ImageNotShareable(
                    image['id'], f'{path} is not on the filesystem of '
                    f'{self.store.location}')
        shared = time.monotonic()
        try:
            # Only now, when nobody but us can write to it.
            image_transfer.check_raw(self.store.device(name).path, image['id'])
        except BaseException:
            self.store.delete(name)
            raise
        return (shared - started) * 1e3, (time.monotonic() - shared) * 1e3

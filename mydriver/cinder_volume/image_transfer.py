# SPDX-License-Identifier: Apache-2.0
"""Images, transferred by Cinder's own helpers to and from a local path.

No export and no session is involved. Files belong to the service's user.
Block devices belong to root, so Cinder's helpers run through its rootwrap
there, as for Cinder's own LVM driver: udev returns a device node to root at
every change, so handing it to the service's user would not last.
"""

from collections.abc import Callable
from typing import Any

from cinder.image import image_utils
from cinder.volume import volume_utils
from oslo_utils import units

from mydriver import exception, model
from mydriver.cinder_volume import blocks, parts
from mydriver.stores import names


class ImageTransfer:
    """Images written to volumes, and volumes written to images.

    :param copy_through_attachment: Cinder's own
        ``copy_image_to_encrypted_volume``, which attaches the volume.
    """

    def __init__(self, backend: parts.Backend,
                 copy_through_attachment: Callable[..., None]) -> None:
        self._backend = backend
        self._store = backend.store
        self._copy_through_attachment = copy_through_attachment

    def copy_image_to_volume(self, context: Any, volume: Any,
                             image_service: Any, image_id: str,
                             disable_sparse: bool = False) -> None:
        """Write an image to a new volume."""
        name = names.of_volume(volume)
        self._backend.check_image_blocks(image_service.show(context, image_id))
        with self._backend.exports.local_device(volume.name_id) as device:
            fetch(context, image_service, image_id, device,
                  size_gib=volume.size,
                  block_size=self._backend.options.volume_dd_blocksize,
                  disable_sparse=disable_sparse)
        self._store.extend(name, volume.size * units.Gi)

    def copy_image_to_encrypted_volume(
            self, context: Any, volume: Any, image_service: Any,
            image_id: str, disable_sparse: bool = False) -> None:
        """Write an image to a new volume that the host encrypts."""
        self._backend.check_image_blocks(image_service.show(context, image_id))
        self._copy_through_attachment(
            context, volume, image_service, image_id,
            disable_sparse=disable_sparse)

    def copy_volume_to_image(self, context: Any, volume: Any,
                             image_service: Any,
                             image_meta: dict[str, Any]) -> None:
        """Write a volume to an image."""
        name = names.of_volume(volume)
        # This host may have cached older data of a block device.
        self._store.extend(name, volume.size * units.Gi)
        block_bytes = self._store.block_bytes()
        if block_bytes != blocks.USUAL_BYTES:
            set_property(context, image_service, image_meta['id'],
                         blocks.PROPERTY, str(block_bytes))
        with self._backend.exports.local_device(volume.name_id) as device:
            upload(context, image_service, image_meta, device, volume)


def fetch(context: Any, image_service: Any, image_id: str,
          device: model.BackingDevice, *, size_gib: int, block_size: str,
          disable_sparse: bool) -> None:
    """Write an image to a volume, converted to raw; holes stay holes.

    qemu-img truncates the file to the image's length and flushes nothing: the
    caller restores its size and flushes it.

    :param size_gib: size of the volume; larger images are refused.
    :param block_size: for dd, where qemu-img is not installed.
    """
    image_utils.fetch_to_raw(
        context, image_service, image_id, device.path, block_size,
        size=size_gib, run_as_root=_is_roots(device),
        disable_sparse=disable_sparse)


def upload(context: Any, image_service: Any, image_meta: dict[str, Any],
           device: model.BackingDevice, volume: Any) -> None:
    """Write a volume to an image, converted to the image's format."""
    volume_utils.upload_volume(
        context, image_service, image_meta, device.path, volume,
        run_as_root=_is_roots(device))


def set_property(context: Any, image_service: Any, image_id: str, key: str,
                 value: str) -> None:
    """Set one property of an image; the others stay."""
    image_service.update(context, image_id, {'properties': {key: value}},
                         purge_props=False)


def _is_roots(device: model.BackingDevice) -> bool:
    return device.kind == 'iblock'


def check_raw(path: str, image_id: str) -> None:
    """Check that a file may be the contents of a raw image.

    This is the inspection with which Cinder begins its own checks. The others
    ask qemu-img about formats that are not raw.

    :raises ImageNotShareable: when it is in another format, is unsafe, or
        cannot be read.
    """
    try:
        found = image_utils.get_image_format(path)
    except OSError as e:
        raise exception.ImageNotShareable(image_id, str(e)) from e
    if found != 'raw':
        raise exception.ImageNotShareable(
            image_id, 'the contents of its file are not raw')


def copy_as_root(source: str, target: str, size_bytes: int,
                 block_size: str) -> None:
    """Copy from path to path through Cinder's rootwrap, without zeros.

    The target reads as zeros beforehand. Afterwards a file ends with its last
    data, and nothing is flushed; see :func:`fetch`.

    :param size_bytes: whole MiB, as all of Cinder's volumes have.
    :param block_size: for dd.
    """
    volume_utils.copy_volume(source, target, size_bytes // units.Mi,
                             block_size, sparse=True)

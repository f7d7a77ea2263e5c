# SPDX-License-Identifier: Apache-2.0
"""Images, by Cinder's own means, straight to and from a local path.

No export and no session. Files belong to the service's user. Block devices
are root's, and Cinder's helpers then run by way of its rootwrap, as they do
for Cinder's own LVM driver: udev gives a device node back to root at any
change, so that lending it to the service's user would not last.
"""

from typing import Any
import warnings

from cinder import monkey_patch
from cinder.image import image_utils
from cinder.volume import volume_utils
from eventlet import tpool

from mydriver import exception, model


def fetch(context: Any, image_service: Any, image_id: str,
          device: model.BackingDevice, *, size_gib: int, block_size: str,
          disable_sparse: bool) -> None:
    """Write an image to a volume, converted to raw; holes stay holes.

    qemu-img makes the file as long as the image, and flushes nothing: the
    caller gives it its size again and makes it durable.

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
    """See that a file holds what an image said to be raw may hold.

    By the inspection that Cinder begins its own checks with. The rest of them
    asks qemu-img for what there is to know about the other formats.

    :raises ImageNotShareable: when it is a format of its own, or not safe, or
        cannot be read.
    """
    try:
        found = image_utils.get_image_format(path)
    except OSError as e:
        raise exception.ImageNotShareable(image_id, str(e)) from e
    if found != 'raw':
        raise exception.ImageNotShareable(
            image_id, 'its file does not hold what is raw')


def copy_as_root(source: str, target: str, size_bytes: int,
                 block_size: str) -> None:
    """Copy from path to path by Cinder's rootwrap, without zeros.

    The target reads as zeros before. A file is as long as its data
    afterwards, and nothing is flushed; see :func:`fetch`.

    :param size_bytes: whole MiB, as all of Cinder's volumes have.
    :param block_size: for dd.
    """
    volume_utils.copy_volume(source, target, size_bytes // 1024 ** 2,
                             block_size, sparse=True)


def suit_thread_pool() -> None:
    """Let eventlet's pool of native threads suit cinder-volume's mode.

    Cinder reads and writes images by way of ``eventlet.tpool`` in both of its
    modes (cinder/image/image_utils.py, fetch). With green threads the pool
    does what it is for. With native threads it hands the result to a loop in
    whichever thread came first, and any other waits for ever; a pool of no
    threads makes it call straight through, which is all that is needed then.
    """
    if monkey_patch.is_patched():
        return
    tpool.set_num_threads(0)
    with warnings.catch_warnings():
        # eventlet warns of what is meant here.
        warnings.simplefilter('ignore', RuntimeWarning)
        tpool.setup()

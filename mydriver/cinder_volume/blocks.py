# SPDX-License-Identifier: Apache-2.0
"""The logical block size for which the contents of a disk were made.

A partition table counts in blocks, and a filesystem has a smallest block. The
contents of a disk with 512-byte blocks show no partitions on a disk with
4096-byte blocks. Nothing here imports cinder.
"""

from collections.abc import Mapping
from typing import Any

from mydriver import exception

#: Property of an image, and capability of a backend.
PROPERTY = 'mydriver_block_bytes'

#: Of images without the property: ordinary disks have such blocks.
USUAL_BYTES = 512

_POSSIBLE = ('512', '1024', '2048', '4096')


def geometry(block_bytes: int) -> dict[str, str]:
    """Return the update of a volume's record: physical and logical size.

    The format is that of other drivers (cinder/volume/driver.py,
    _get_iscsi_properties). It stays with the volume, and Cinder copies it to
    the other end of a migration.
    """
    return {'provider_geometry': f'{block_bytes} {block_bytes}'}


def of_volume(volume: Any) -> int | None:
    """Return the logical block size of a volume, None where it is not known.

    :param volume: Cinder's object.
    """
    words = (volume.provider_geometry or '').split()
    return int(words[1]) if len(words) == 2 and words[1].isdecimal() else None


def of_image(image: Mapping[str, Any]) -> int:
    """Return the block size that an image was made for.

    :param image: its record, as Glance has it.
    :raises StoreError: when its property is no block size.
    """
    text = str((image.get('properties') or {}).get(PROPERTY, USUAL_BYTES))
    if text not in _POSSIBLE:
        raise exception.StoreError(
            f'use image {image["id"]}', f'its property {PROPERTY} is '
            f'{text[:20]!r}, not one of {", ".join(_POSSIBLE)}')
    return int(text)


def of_capabilities(capabilities: Mapping[str, Any]) -> int | None:
    """Return the block size that a backend reports, None where it does not."""
    text = str(capabilities.get(PROPERTY))
    return int(text) if text in _POSSIBLE else None

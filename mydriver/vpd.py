# SPDX-License-Identifier: Apache-2.0
"""The SCSI device identification page, which says which volume a disk is."""

from collections.abc import Iterator

#: Number of the vital product data page that identifies a device (SPC-4,
#: 7.8.6). The kernel shows it as ``vpd_pg83`` below each SCSI device.
DEVICE_IDENTIFICATION = 0x83

_HEADER_BYTES = 4
_CODE_SET_BINARY = 1
_ASSOCIATION_LOGICAL_UNIT = 0
_TYPE_NAA = 3
#: Lengths of an NAA designator: 8, and 16 for "IEEE registered extended"
#: (SPC-4, 7.8.6.6).
_NAA_BYTES = (8, 16)


def wwid(naa: str) -> str:
    """Return the name under which udev and multipathd know a volume.

    :param naa: its NAA id. scsi_id puts the type of the designator, 3 for
        NAA, in front of it (systemd, src/udev/scsi_id/scsi_serial.c).
    """
    return f'{_TYPE_NAA}{naa}'


def map_uuid(naa: str) -> str:
    """Return the device-mapper UUID of a volume's multipath map.

    :param naa: its NAA id (multipath-tools, libmultipath/devmapper.h,
        UUID_PREFIX).
    """
    return f'mpath-{wwid(naa)}'


def naa_of_page(page: bytes) -> str:
    """Return the NAA id of the logical unit in a page 0x83.

    The page also lists designators of ports and target devices; these are
    skipped (SPC-4, 7.8.6.1).

    :param page: the page with its header of four bytes.
    :returns: hex digits without prefix, as :func:`mydriver.model.naa_id`
        makes them; empty if the page is not one or has none.
    """
    if len(page) < _HEADER_BYTES or page[1] != DEVICE_IDENTIFICATION:
        return ''
    for code_set, association, kind, body in _designators(page):
        if (code_set == _CODE_SET_BINARY and kind == _TYPE_NAA
                and association == _ASSOCIATION_LOGICAL_UNIT
                and len(body) in _NAA_BYTES):
            return body.hex()
    return ''


def _designators(page: bytes) -> Iterator[tuple[int, int, int, bytes]]:
    """Yield code set, association, type and body of each designator."""
    end = min(len(page), _HEADER_BYTES + int.from_bytes(page[2:4], 'big'))
    at = _HEADER_BYTES
    while at + _HEADER_BYTES <= end:
        length = page[at + 3]
        body = page[at + _HEADER_BYTES:at + _HEADER_BYTES + length]
        if len(body) < length:
            return
        yield (page[at] & 0xf, (page[at + 1] >> 4) & 0x3, page[at + 1] & 0xf,
               body)
        at += _HEADER_BYTES + length

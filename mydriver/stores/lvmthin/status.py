# SPDX-License-Identifier: Apache-2.0
"""What device-mapper says of a thin pool, parsed."""

import re

from mydriver import exception
from mydriver.stores.lvmthin import pool

_SECTOR_BYTES = 512
#: Blocks of a pool's metadata (drivers/md/dm-thin-metadata.h).
_METADATA_BLOCK_BYTES = 4096

# Numbers of 64 bits (drivers/md/dm-thin.c, pool_status). int() would also
# accept signs, underscores and the digits of other scripts.
_NUMBER = '([0-9]{1,20})'
_STATUS = re.compile(
    rf'\s*[0-9]+ +{_NUMBER}/{_NUMBER} +{_NUMBER}/{_NUMBER} +\S+ +(\S+)')
_TABLE = re.compile(rf'\s*\S+ +\S+ +{_NUMBER}(?!\S)')


def parse(status: str, table: str) -> pool.Status:
    """Return the state of a thin pool.

    Source: Documentation/admin-guide/device-mapper/thin-provisioning.rst.

    :param status: ``TRANSACTION USED/TOTAL USED/TOTAL ROOT MODE ...``, or
        ``Fail``, or ``Error``.
    :param table: ``METADATA-DEVICE DATA-DEVICE BLOCK-SECTORS ...``.
    :raises StoreError: when either has another form.
    """
    words = status.split()
    if words[:1] in (['Fail'], ['Error']):
        return pool.Status(0, 0, 0, 0, 'it has failed')
    found, block = _STATUS.match(status), _TABLE.match(table)
    if not found or not block:
        raise exception.StoreError(
            'read the state of a thin pool',
            f'it is {exception.shown(status)!r}')
    metadata_used, metadata, data_used, data = (
        int(n) for n in found.groups()[:4])
    block_bytes, mode = int(block[1]) * _SECTOR_BYTES, found[5]
    trouble = {'rw': '', 'ro': 'its metadata is read-only',
               'out_of_data_space': 'it has no room for data'}.get(
                   mode, f'its mode is {exception.shown(mode)}')
    if 'needs_check' in words:
        trouble = 'its metadata needs a check'
    return pool.Status(data * block_bytes, data_used * block_bytes,
                       metadata * _METADATA_BLOCK_BYTES,
                       metadata_used * _METADATA_BLOCK_BYTES, trouble)

# SPDX-License-Identifier: Apache-2.0
"""The stores: where the bytes of volumes and snapshots are kept."""

from collections.abc import Callable

from mydriver import exception
from mydriver.cinder_volume.stores import base, lvmthin, reflink

_KINDS: dict[str, Callable[[str], base.VolumeStore]] = {
    'lvmthin': lvmthin.LvmThinStore,
    'reflink': reflink.ReflinkStore,
}


def build(kind: str, location: str) -> base.VolumeStore:
    """Return the store of that kind; nothing is touched or checked yet.

    :param kind: as in the option ``mydriver_store``.
    :param location: what the kind calls its place: for ``reflink`` a folder,
        for ``lvmthin`` a volume group, and perhaps a thin pool of it.
    :raises ConfigurationError: when there is no such kind.
    """
    try:
        return _KINDS[kind](location)
    except KeyError:
        raise exception.ConfigurationError(
            'mydriver_store', f'there is no store {kind!r}',
            f'Choose one of {", ".join(sorted(_KINDS))}.') from None

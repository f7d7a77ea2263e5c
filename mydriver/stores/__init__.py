# SPDX-License-Identifier: Apache-2.0
"""The stores: where the bytes of volumes and snapshots are kept."""

from collections.abc import Callable

from mydriver import exception
from mydriver.stores import base, identity
from mydriver.stores.lvmthin import store as lvmthin
from mydriver.stores.reflink import store as reflink

_KINDS: dict[str, Callable[[str, identity.Record], base.VolumeStore]] = {
    'lvmthin': lambda place, record: lvmthin.LvmThinStore(
        place, record=record),
    'reflink': lambda place, record: reflink.ReflinkStore(
        place, record=record),
}


def build(kind: str, location: str,
          record: identity.Record | None = None) -> base.VolumeStore:
    """Return the store of that kind; nothing is touched or checked yet.

    :param kind: as in the option ``mydriver_store``.
    :param location: what the kind calls its place: for ``reflink`` a folder,
        for ``lvmthin`` a volume group, and perhaps a thin pool of it.
    :param record: the id of the store that was there before, if it is kept.
    :raises ConfigurationError: when there is no such kind.
    """
    try:
        make = _KINDS[kind]
    except KeyError:
        raise exception.ConfigurationError(
            'mydriver_store', f'there is no store {kind!r}',
            f'Choose one of {", ".join(sorted(_KINDS))}.') from None
    return make(location, record or identity.Record())

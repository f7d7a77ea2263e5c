# SPDX-License-Identifier: Apache-2.0
"""What a backend tells Cinder's scheduler about itself."""

from collections.abc import Callable
import dataclasses
from typing import Any

from oslo_log import log as logging

from mydriver import exception
from mydriver.cinder_volume import blocks
from mydriver.stores import base

LOG = logging.getLogger(__name__)

GIB = 1024 ** 3


@dataclasses.dataclass(frozen=True, slots=True)
class Backend:
    """What is settled when the driver is set up.

    :param name: name of the backend and of its only pool.
    :param version: version of the driver.
    :param location: ``LIODriver:HOST:PLACE``, the same for two backends only
        when they are the same place.
    :param reserved_percentage: of the room that Cinder may not fill.
    :param max_over_subscription_ratio: as configured, a number or ``auto``.
    :param store_kind: as in the option ``mydriver_store``.
    :param filter_function: for the scheduler, or None.
    :param goodness_function: for the scheduler, or None.
    """

    name: str
    version: str
    location: str
    reserved_percentage: int
    max_over_subscription_ratio: float | str
    store_kind: str
    filter_function: str | None = None
    goodness_function: str | None = None


#: Nothing goes where no more is free than what is reserved, nor where it could
#: not be filled even if it were alone. Cinder's CapacityFilter does not look
#: at what is free of a thin pool (cinder/scheduler/sched_utils.py). Figures
#: are cut down to whole GiB (cinder/scheduler/evaluator).
FILTER = ('stats.free_capacity_gb > '
          'stats.total_capacity_gb * stats.reserved_percentage / 100 and '
          'volume.size <= stats.total_capacity_gb')


def goodness(max_over_subscription_ratio: float | str) -> str:
    """Return the default goodness function: how much of the place is free.

    That is of what can be written, or of what may be promised, whichever is
    less. What ``auto`` may promise depends on what is promised already, so
    that only the former counts there.
    """
    free = 'stats.free_capacity_gb / stats.total_capacity_gb'
    if isinstance(max_over_subscription_ratio, str):
        return f'100 * max(0, {free})'
    return (f'100 * max(0, min({free}, 1 - '
            'capabilities.provisioned_capacity_gb / '
            f'(stats.total_capacity_gb * {max_over_subscription_ratio})))')


def build(backend: Backend, store: base.VolumeStore,
          check_serving: Callable[[], None]) -> dict[str, Any]:
    """Return the answer to ``get_volume_stats``.

    Volumes share the targets of a pool (``shared_targets``): hosts whose
    initiator cannot scan by hand take a lock. The store is thin, what was
    never written reads as zeros, so that copies may skip zeros
    (``sparse_copy_volume``).

    A store that cannot be read and a target that does not serve make the
    backend ``down``, with no room: the scheduler does not ask for the state,
    but puts nothing where there is no room.

    :param check_serving: raises one of our errors when the target does not.
    """
    state, room, backings = 'up', base.Capacity(0, 0, 0), 0
    block_bytes = None
    try:
        check_serving()
        room, backings = store.capacity(), len(store.names())
        block_bytes = str(store.block_bytes())
    except exception.MyDriverError as e:
        LOG.error('Backend %s is down: %s', backend.name, e)
        state = 'down'
    pool = {
        'pool_name': backend.name,
        'total_capacity_gb': _gib(room.total_bytes),
        'free_capacity_gb': _gib(room.free_bytes),
        'provisioned_capacity_gb': _gib(room.provisioned_bytes),
        'total_volumes': backings,
        'reserved_percentage': backend.reserved_percentage,
        'max_over_subscription_ratio': backend.max_over_subscription_ratio,
        'thin_provisioning_support': store.traits.thin,
        'thick_provisioning_support': not store.traits.thin,
        'online_extend_support': True,
        'multiattach': True,
        'consistent_group_snapshot_enabled': store.traits.consistent_groups,
        'QoS_support': False,
        'location_info': backend.location,
        'mydriver_store': backend.store_kind,
        # As a text: so a volume type can ask for it without an operator.
        blocks.PROPERTY: block_bytes,
        'filter_function': backend.filter_function,
        'goodness_function': backend.goodness_function,
        'backend_state': state,
    }
    return {
        'volume_backend_name': backend.name,
        'vendor_name': 'Open Source',
        'driver_version': backend.version,
        'storage_protocol': 'iSCSI',
        'shared_targets': True,
        'sparse_copy_volume': True,
        'pools': [pool],
    }


def _gib(size_bytes: int) -> float:
    return round(size_bytes / GIB, 2)

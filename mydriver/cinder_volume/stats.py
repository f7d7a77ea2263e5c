# SPDX-License-Identifier: Apache-2.0
"""The stats that a backend reports to Cinder's scheduler.

Nothing here imports cinder.
"""

from collections.abc import Callable
import dataclasses
from typing import Any

from oslo_log import log as logging
from oslo_utils import units

from mydriver import exception
from mydriver.cinder_volume import blocks, protocols
from mydriver.stores import base

LOG = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True, slots=True)
class Backend:
    """What stays the same once the driver is set up.

    :param name: name of the backend and of its only pool.
    :param version: version of the driver.
    :param location: ``LIODriver:HOST:PLACE``, the same for two backends only
        when they are the same place.
    :param reserved_percentage: of the room that Cinder may not fill.
    :param max_over_subscription_ratio: as configured, a number or ``auto``.
    :param store_kind: as in the option ``mydriver_store``.
    :param offers_native: hosts can use volumes without a target.
    :param filter_function: for the scheduler, or None.
    :param goodness_function: for the scheduler, or None.
    """

    name: str
    version: str
    location: str
    reserved_percentage: int
    max_over_subscription_ratio: float | str
    store_kind: str
    offers_native: bool = False
    filter_function: str | None = None
    goodness_function: str | None = None


#: No volume is placed where only the reserved space is free, or where it
#: could not be filled even if it were the only one. Cinder's CapacityFilter
#: ignores the free space of a thin pool (cinder/scheduler/sched_utils.py).
#: Figures are truncated to whole GiB (cinder/scheduler/evaluator).
FILTER = ('stats.free_capacity_gb > '
          'stats.total_capacity_gb * stats.reserved_percentage / 100 and '
          'volume.size <= stats.total_capacity_gb')


def goodness(max_over_subscription_ratio: float | str) -> str:
    """Return the default goodness function: the free share of the pool.

    The share is that of what can be written or of what may still be
    provisioned, whichever is smaller. What ``auto`` allows depends on what is
    provisioned already, so only the former counts there.
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

    A pool that hosts can also use natively reports both protocols, so that
    volume types can ask for either. The backend itself remains one of iSCSI:
    by that, the manager knows that attaches over iSCSI need a lock.

    Volumes share the targets of a pool (``shared_targets``): a host whose
    initiator cannot scan manually takes a lock. The store is thin and blocks
    that were never written read as zeros, so copies may skip zeros
    (``sparse_copy_volume``).

    A store that cannot be read, or a target that takes no logins, makes the
    backend ``down`` with no capacity: the scheduler ignores the state, but
    places nothing where there is no capacity.

    :param check_serving: raises an error of ours when the target takes no
        logins.
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
    pool: dict[str, Any] = {
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
        # As text: a volume type can then ask for it without an operator.
        blocks.PROPERTY: block_bytes,
        'filter_function': backend.filter_function,
        'goodness_function': backend.goodness_function,
        'backend_state': state,
    }
    if backend.offers_native:
        pool['storage_protocol'] = list(protocols.POOL_BOTH)
    return {
        'volume_backend_name': backend.name,
        'vendor_name': 'Open Source',
        'driver_version': backend.version,
        'storage_protocol': protocols.BACKEND_ISCSI,
        'shared_targets': True,
        'sparse_copy_volume': True,
        'pools': [pool],
    }


def _gib(size_bytes: int) -> float:
    return round(size_bytes / units.Gi, 2)

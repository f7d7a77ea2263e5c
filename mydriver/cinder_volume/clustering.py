# SPDX-License-Identifier: Apache-2.0
"""Several cinder-volume services that serve one backend (``cluster``).

What may be shared, and what keeps the services apart: Cinder's locks in
``[coordination] backend_url``, taken by the volume. What must be exact even
where such a lock is lost is exact in Ceph: the store and the journal.
"""

import contextlib
from typing import Any

from cinder import coordination
from oslo_config import cfg

from mydriver import exception
from mydriver.cinder_volume import parts
from mydriver.stores import base as stores
from mydriver.stores import sharing
from mydriver.target import pool

OPTION = 'cluster'

#: Schemes of tooz whose locks do not leave the host.
_LOCAL = frozenset({'file', 'ipc', 'zake', ''})

_ALONE = 'Remove cluster, so that one cinder-volume serves this backend'


def check(wanted: pool.Settings, store: stores.VolumeStore) -> None:
    """Check that a backend can be served by a cluster.

    :raises ConfigurationError: for the first thing that belongs to one host.
    """
    if sharing.of(store) is None:
        raise exception.ConfigurationError(
            OPTION, f'the volumes of [{wanted.backend}], {store.location}, '
            'are on this host alone',
            f'{_ALONE}, or set mydriver_store = rbd for a new backend.')
    if wanted.gateways is None:
        raise exception.ConfigurationError(
            OPTION, f'the targets of [{wanted.backend}] are on this host '
            'alone', f'{_ALONE}, or let gateways serve it: set '
            'mydriver_gateway_addresses.')
    scheme = cfg.CONF.coordination.backend_url.partition(':')[0]
    if scheme.partition('+')[0] in _LOCAL:
        raise exception.ConfigurationError(
            '[coordination] backend_url', f'locks of the kind '
            f'{exception.shown(scheme)} do not reach the other hosts of the '
            'cluster', 'Name an etcd (etcd3+http://HOST:2379) or a Redis, the '
            'same in all of them.')


def exclusively(volume_id: str) -> contextlib.AbstractContextManager[Any]:
    """Keep all services of the cluster from changing a volume's exports.

    :param volume_id: of the backing.
    """
    lock: contextlib.AbstractContextManager[Any] = (
        coordination.COORDINATOR.get_lock(parts.LOCK_PREFIX + volume_id))
    return lock

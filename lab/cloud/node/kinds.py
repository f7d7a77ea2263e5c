# SPDX-License-Identifier: Apache-2.0
"""Kinds of nodes: what differs between them."""

import dataclasses

from lab.cloud import errors, settings


@dataclasses.dataclass(frozen=True, slots=True)
class Kind:
    """What differs between the nodes.

    :param service: the service that runs on it.
    :param memory_mib: its memory.
    :param disk_gib: size of its disk, a sparse file; 0 for that of the
        options.
    :param payload: its script, without the suffix.
    """

    service: str
    memory_mib: int
    disk_gib: int
    payload: str


GATEWAY = 'mydriver-gateway'

_KINDS = {
    'storage': Kind('cinder-volume', 1536, 0, 'storage'),
    'compute': Kind('nova-compute', 4096, 40, 'compute'),
    **dict.fromkeys(settings.VOLUMES, Kind('cinder-volume', 1536, 4,
                                           'storage')),
    **dict.fromkeys(settings.GATEWAYS, Kind(GATEWAY, 768, 1, 'gateway')),
}

#: Initiator names of the nodes.
INITIATORS = {name: f'iqn.1993-08.org.debian:01:{name}' for name in _KINDS}


def of(name: str, options: settings.Options) -> Kind:
    """Return the kind of a node.

    :param options: of the cloud.
    :raises CloudError: when the cloud has no such node.
    """
    if name not in options.nodes:
        raise errors.CloudError(
            f'no node {name!r}; there are {", ".join(options.nodes)}')
    return _KINDS[name]


def service_of(name: str) -> str:
    """Return the name of a node's service."""
    return _KINDS[name].service


def log_of(name: str) -> str:
    """Return the name of its log; several nodes may have the same service."""
    service = service_of(name)
    return service if name in settings.NODES else f'{service}-{name}'

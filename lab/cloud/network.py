# SPDX-License-Identifier: Apache-2.0
"""The cloud's network namespace: two bridges, and taps of the nodes.

The first bridge has the APIs, the targets and everything else; the second one
is Ceph's alone, so that a node can be cut off from one of them. Nothing
listens outside the namespace, so two clouds on one machine can use the same
addresses and ports. A process that uses the APIs calls :func:`enter` first, or
is started by ``ip netns exec NAMESPACE``.
"""

from lab import netns
from lab.cloud import errors, settings

BRIDGE, CEPH_BRIDGE = 'br0', 'br1'

#: Networks that a node can be cut off: both, or one of them.
PLACES = ALL, CLIENTS, CEPH = ('all', 'clients', 'ceph')


def tap(node: str) -> str:
    """Return the name of a node's tap, its device ``vec0``."""
    return f'tap-{node}'


def ceph_tap(node: str) -> str:
    """Return the name of a node's tap in Ceph's network, ``vec1``."""
    return f'ceph-{node}'


def taps(node: str, options: settings.Options,
         where: str = ALL) -> tuple[str, ...]:
    """Return a node's taps, in the order of its devices.

    :param where: those in this network, from :data:`PLACES`.
    :raises CloudError: when the cloud has no such network.
    """
    if where == CEPH and not options.ceph:
        raise errors.CloudError(
            'this cloud has no Ceph: bring one up with --store rbd')
    return (*((tap(node),) if where != CEPH else ()),
            *((ceph_tap(node),) if where != CLIENTS and options.ceph else ()))


def exists(name: str = settings.NAMESPACE) -> bool:
    """Tell whether the namespace exists."""
    return netns.exists(name)


def create(options: settings.Options, name: str = settings.NAMESPACE) -> None:
    """Create the namespace with its bridges and taps, unless it exists."""
    netns.create(name)
    netns.add_bridge(
        name, BRIDGE, *(f'{subnet}.1' for subnet in settings.SUBNETS),
        settings.GLANCE)
    if options.ceph:
        netns.add_bridge(name, CEPH_BRIDGE, settings.CEPH)
    for node in options.nodes:
        for link, bridge in zip(taps(node, options), (BRIDGE, CEPH_BRIDGE),
                                strict=False):
            netns.add_tap(name, link, bridge)


def connect(taps: tuple[str, ...], connected: bool,
            name: str = settings.NAMESPACE) -> None:
    """Let the bridges forward packets of taps, or drop them.

    The node does not notice. The taps themselves stay up: once a write to its
    tap has failed, the device of a node (user-mode-linux 6.1) was seen to
    receive nothing more.
    """
    for link in taps:
        netns.forward(name, link, connected)


def release(address: str, name: str = settings.NAMESPACE) -> None:
    """Remove an address from the control plane, for a node to use."""
    netns.ip('addr', 'del', f'{address}/24', 'dev', BRIDGE, netns=name)


def delete(name: str = settings.NAMESPACE) -> None:
    """Remove the namespace with its bridges and taps."""
    netns.delete(name)


def pids(name: str = settings.NAMESPACE) -> list[int]:
    """Return the ids of the processes in the namespace."""
    return netns.pids(name)


def enter(name: str = settings.NAMESPACE) -> None:
    """Move the calling thread into the namespace, see :func:`netns.enter`.

    :raises CloudError: when there is no such namespace.
    :raises LabError: when not root.
    """
    try:
        netns.enter(name)
    except FileNotFoundError:
        raise errors.CloudError(
            'the cloud is not up: run "python -m lab cloud up"') from None

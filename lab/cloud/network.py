# SPDX-License-Identifier: Apache-2.0
"""The cloud's network namespace: a bridge and one tap for each node.

Nothing listens outside it, so two clouds on one machine can use the same
addresses and ports. A process that uses the APIs calls :func:`enter` first, or
is started by ``ip netns exec NAMESPACE``.
"""

import ctypes
import os
from pathlib import Path
import subprocess

from lab.cloud import errors, settings

_NETNS = Path('/run/netns')
_CLONE_NEWNET = 0x40000000   # linux/sched.h

BRIDGE = 'br0'


def tap(node: str) -> str:
    """Return the name of a node's tap in the namespace."""
    return f'tap-{node}'


def exists(name: str = settings.NAMESPACE) -> bool:
    """Tell whether the namespace exists."""
    return (_NETNS / name).exists()


def create(name: str = settings.NAMESPACE) -> None:
    """Create the namespace with its bridge and taps, unless it exists."""
    if not exists(name):
        _ip('netns', 'add', name)
    _ip('link', 'set', 'lo', 'up', netns=name)
    if not _has_link(name, BRIDGE):
        _ip('link', 'add', BRIDGE, 'type', 'bridge', netns=name)
        for subnet in settings.SUBNETS:
            _ip('addr', 'add', f'{subnet}.1/24', 'dev', BRIDGE, netns=name)
        _ip('link', 'set', BRIDGE, 'up', netns=name)
        _ip('addr', 'add', f'{settings.GLANCE}/24', 'dev', BRIDGE,
            netns=name)
    for node in settings.NODES:
        if not _has_link(name, tap(node)):
            _ip('tuntap', 'add', tap(node), 'mode', 'tap', netns=name)
            _ip('link', 'set', tap(node), 'master', BRIDGE, netns=name)
            _ip('link', 'set', tap(node), 'up', netns=name)


def release(address: str, name: str = settings.NAMESPACE) -> None:
    """Remove an address from the control plane, for a node to use."""
    _ip('addr', 'del', f'{address}/24', 'dev', BRIDGE, netns=name)


def delete(name: str = settings.NAMESPACE) -> None:
    """Remove the namespace with its bridge and taps."""
    if exists(name):
        _ip('netns', 'delete', name)


def pids(name: str = settings.NAMESPACE) -> list[int]:
    """Return the ids of the processes in the namespace."""
    if not exists(name):
        return []
    return [int(p) for p in _ip('netns', 'pids', name).split()]


def enter(name: str = settings.NAMESPACE) -> None:
    """Move the calling thread into the namespace.

    Threads and processes that it starts afterwards inherit it; threads that
    run already do not move. So call it early, in the main thread.

    :raises CloudError: when there is no such namespace, or not root.
    """
    try:
        fd = os.open(_NETNS / name, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        raise errors.CloudError(
            'the cloud is not up: run "python -m lab cloud up"') from None
    try:
        libc = ctypes.CDLL(None, use_errno=True)
        if libc.setns(fd, _CLONE_NEWNET):
            code = ctypes.get_errno()
            raise errors.CloudError(
                f'cannot enter the network namespace {name}: '
                f'{os.strerror(code)}; it needs root')
    finally:
        os.close(fd)


def _has_link(name: str, link: str) -> bool:
    """Tell whether the namespace has a network interface."""
    return bool(subprocess.run(
        ['ip', '-n', name, '-o', 'link', 'show', link],
        check=False, capture_output=True).stdout)


def _ip(*args: str, netns: str | None = None) -> str:
    """Run ``ip`` and return its output."""
    argv = ['ip', *(['-n', netns] if netns else []), *args]
    result = subprocess.run(argv, check=False, capture_output=True, text=True)
    if result.returncode:
        raise errors.CloudError(
            f'"{" ".join(argv)}" failed: {result.stderr.strip()}; network '
            'namespaces and taps need root and /dev/net/tun')
    return result.stdout

# SPDX-License-Identifier: Apache-2.0
"""The cloud's network namespace: a bridge and one tap for each node.

Nothing listens outside of it, so that two clouds on one machine share
addresses and ports without harm. A process that wants to talk to the APIs
calls :func:`enter` first, or is started by ``ip netns exec NAMESPACE``.
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
    """Return the name of a node's tap inside of the namespace."""
    return f'tap-{node}'


def exists(name: str = settings.NAMESPACE) -> bool:
    """Tell whether the namespace is there."""
    return (_NETNS / name).exists()


def create(name: str = settings.NAMESPACE) -> None:
    """Make the namespace with its bridge and taps, unless it is there."""
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
    """Let a node have an address of the control plane's."""
    _ip('addr', 'del', f'{address}/24', 'dev', BRIDGE, netns=name)


def delete(name: str = settings.NAMESPACE) -> None:
    """Remove the namespace; bridge and taps go with it."""
    if exists(name):
        _ip('netns', 'delete', name)


def pids(name: str = settings.NAMESPACE) -> list[int]:
    """Return the processes that are in the namespace."""
    if not exists(name):
        return []
    return [int(p) for p in _ip('netns', 'pids', name).split()]


def enter(name: str = settings.NAMESPACE) -> None:
    """Move the calling thread into the namespace.

    Threads and processes that it starts afterwards are in it as well; other
    threads that run already are not. So call it early, in the main thread.

    :raises CloudError: when there is no such namespace, or not as root.
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
                f'{os.strerror(code)}; it takes root')
    finally:
        os.close(fd)


def _has_link(name: str, link: str) -> bool:
    """Tell whether the namespace has a network interface of that name."""
    return bool(subprocess.run(
        ['ip', '-n', name, '-o', 'link', 'show', link],
        check=False, capture_output=True).stdout)


def _ip(*args: str, netns: str | None = None) -> str:
    """Run ``ip`` and return what it printed."""
    argv = ['ip', *(['-n', netns] if netns else []), *args]
    result = subprocess.run(argv, check=False, capture_output=True, text=True)
    if result.returncode:
        raise errors.CloudError(
            f'"{" ".join(argv)}" failed: {result.stderr.strip()}; network '
            'namespaces and taps take root and /dev/net/tun')
    return result.stdout

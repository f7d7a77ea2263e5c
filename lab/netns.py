# SPDX-License-Identifier: Apache-2.0
"""Network namespaces with bridges, and taps of nodes on them.

Nothing listens outside them, so that two can use the same addresses and ports.
"""

from collections.abc import Iterator
import contextlib
import ctypes
import os
from pathlib import Path
import subprocess

from lab import errors

_NETNS = Path('/run/netns')
_CLONE_NEWNET = 0x40000000   # linux/sched.h


def exists(name: str) -> bool:
    """Tell whether a namespace exists."""
    return (_NETNS / name).exists()


def names(prefix: str) -> list[str]:
    """Return the namespaces whose names begin with a prefix."""
    return [p.name for p in _NETNS.glob(f'{prefix}*')]


def create(name: str) -> None:
    """Create a namespace, unless it exists.

    :raises LabError: when ``ip`` fails.
    """
    if not exists(name):
        ip('netns', 'add', name)
    ip('link', 'set', 'lo', 'up', netns=name)


def add_bridge(name: str, bridge: str, *addresses: str) -> None:
    """Create a bridge in a namespace, unless it exists.

    :param addresses: of the bridge, each in a network of 24 bits.
    :raises LabError: when ``ip`` fails.
    """
    if not _has_link(name, bridge):
        ip('link', 'add', bridge, 'type', 'bridge', netns=name)
        for address in addresses:
            ip('addr', 'add', f'{address}/24', 'dev', bridge, netns=name)
        ip('link', 'set', bridge, 'up', netns=name)


def add_tap(name: str, tap: str, bridge: str) -> None:
    """Create a tap on a bridge, unless it exists.

    :raises LabError: when ``ip`` fails.
    """
    if not _has_link(name, tap):
        ip('tuntap', 'add', tap, 'mode', 'tap', netns=name)
        ip('link', 'set', tap, 'master', bridge, netns=name)
        ip('link', 'set', tap, 'up', netns=name)


def forward(name: str, tap: str, forward: bool) -> None:
    """Let a bridge forward a tap's packets, in both directions, or drop them.

    :raises LabError: when ``bridge`` fails.
    """
    # States of the spanning tree protocol, linux/if_bridge.h.
    state = '3' if forward else '0'
    _run('bridge', '-n', name, 'link', 'set', 'dev', tap, 'state', state)


def delete(name: str) -> None:
    """Remove a namespace with its bridge and taps."""
    if exists(name):
        ip('netns', 'delete', name)


def pids(name: str) -> list[int]:
    """Return the ids of the processes in a namespace."""
    if not exists(name):
        return []
    return [int(p) for p in ip('netns', 'pids', name).split()]


def enter(name: str) -> None:
    """Move the calling thread into a namespace.

    Threads and processes that it starts afterwards inherit it; threads that
    run already do not move. So call it early, in the main thread.

    :raises FileNotFoundError: when there is no such namespace.
    :raises LabError: when not root.
    """
    fd = os.open(_NETNS / name, os.O_RDONLY | os.O_CLOEXEC)
    try:
        _set(fd, name)
    finally:
        os.close(fd)


@contextlib.contextmanager
def inside(name: str) -> Iterator[None]:
    """Move the calling thread into a namespace, and back in the end.

    Parameters and exceptions are those of :func:`enter`.
    """
    before = os.open('/proc/thread-self/ns/net', os.O_RDONLY | os.O_CLOEXEC)
    try:
        enter(name)
        try:
            yield
        finally:
            _set(before, 'from before')
    finally:
        os.close(before)


def _set(fd: int, name: str) -> None:
    """Move the calling thread to the namespace that a descriptor has."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.setns(fd, _CLONE_NEWNET):
        code = ctypes.get_errno()
        raise errors.LabError(
            f'cannot enter the network namespace {name}: '
            f'{os.strerror(code)}; it needs root')


def _has_link(name: str, link: str) -> bool:
    """Tell whether a namespace has a network interface."""
    return bool(subprocess.run(
        ['ip', '-n', name, '-o', 'link', 'show', link],
        check=False, capture_output=True).stdout)


def ip(*args: str, netns: str | None = None) -> str:
    """Run ``ip`` and return its output.

    :raises LabError: when it fails.
    """
    return _run('ip', *(['-n', netns] if netns else []), *args)


def _run(*argv: str) -> str:
    """Run a program and return its output.

    :raises LabError: when it fails.
    """
    result = subprocess.run(argv, check=False, capture_output=True, text=True)
    if result.returncode:
        raise errors.LabError(
            f'"{" ".join(argv)}" failed: {result.stderr.strip()}; network '
            'namespaces and taps need root and /dev/net/tun')
    return result.stdout

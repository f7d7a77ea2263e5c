# SPDX-License-Identifier: Apache-2.0
"""``lab kernel run``: run a command in a fresh node."""

from collections.abc import Mapping, Sequence
import contextlib
import dataclasses
import os
from pathlib import Path
import secrets
import shlex
import sys
import time

from lab import errors, paths, process
from lab.kernel import beside, node

#: Variables of the caller that a command in a node gets.
_PASSED = ('COLUMNS', 'LANG', 'LC_ALL', 'TERM', 'TZ')

#: Prefix of our directories below paths.RUN; the caller's process id follows.
_PREFIX = 'kernel-'


@dataclasses.dataclass(frozen=True)
class Request:
    """A command, and the node to run it in.

    :param argv: the command.
    :param memory_mib: memory of the node.
    :param cpu: core of the host, None to choose one.
    :param disks: sizes in bytes.
    :param timeout_s: for boot and command together, seconds.
    :param environ: added to the command's environment.
    :param ceph: start a Ceph that the node can reach.
    """

    argv: Sequence[str]
    memory_mib: int = 2048
    cpu: int | None = None
    disks: tuple[int, ...] = ()
    timeout_s: int = 900
    environ: Mapping[str, str] = dataclasses.field(default_factory=dict)
    ceph: bool = False


def run(request: Request) -> int:
    """Run a command in a fresh node, and copy its output to ours.

    :returns: the command's exit status; above 128 if a signal ended it.
    :raises DeadlinePassed: on timeout; the node has been ended.
    :raises ProcessEnded: when the node ended before the command.
    """
    _sweep()
    folder = paths.RUN / f'{_PREFIX}{os.getpid()}-{secrets.token_hex(3)}'
    share = folder / 'share'
    share.mkdir(parents=True)
    guest = None
    try:
        ceph = beside.Ceph(folder) if request.ceph else None
        spec = _spec(request, share, ceph)
        deadline = time.monotonic() + request.timeout_s
        guest = node.start(spec, folder, ceph.namespace if ceph else None,
                           log=folder / 'console', die_with_parent=True)
        guest.save(folder / 'process.json')
        if ceph:   # it starts while the node boots
            ceph.up()
        (share / 'go').touch()
        status = _follow(guest, share, deadline, request)
        node.wait_end(guest, 5)
        return status
    finally:
        if guest:
            guest.end(grace_s=0)
        beside.remove(folder)


def _spec(request: Request, share: Path,
          ceph: beside.Ceph | None) -> node.NodeSpec:
    """Write the payload's input, and describe the node."""
    environ = {k: v for k in _PASSED if (v := os.environ.get(k))}
    environ |= {**(ceph.variables() if ceph else {}), **request.environ}
    _write(share / 'environ', ''.join(
        f'{k}={shlex.quote(v)}\n' for k, v in environ.items()))
    _write(share / 'argv', ''.join(f'{a}\0' for a in request.argv))
    outputs = _outputs()
    for name in set(outputs):
        _write(share / name, '')
    cwd = Path.cwd()
    return node.NodeSpec(
        name='node', memory_mib=request.memory_mib, cpu=request.cpu,
        disks=request.disks, shares=(share,),
        taps=(ceph.tap,) if ceph else (),
        init=paths.KERNEL_SHELL / 'run.sh',
        environ={
            'RUN_DIR': str(share),
            'RUN_STDOUT': outputs[0], 'RUN_STDERR': outputs[1],
            'RUN_CWD': str(cwd if cwd.is_relative_to(paths.ROOT)
                           else paths.ROOT),
            'RUN_INITIATOR':
                f'iqn.1993-08.org.debian:01:{secrets.token_hex(6)}',
            **(ceph.payload() if ceph else {}),
        })


def _write(path: Path, text: str) -> None:
    """Write a file that only root can read."""
    path.touch(0o600)
    path.write_text(text)


def _outputs() -> tuple[str, str]:
    """Name the files for both outputs: one file if ours are the same.

    This keeps the order of lines under ``2>&1``.
    """
    with contextlib.suppress(OSError):
        out, err = os.fstat(1), os.fstat(2)
        if (out.st_dev, out.st_ino) == (err.st_dev, err.st_ino):
            return 'stdout', 'stdout'
    return 'stdout', 'stderr'


def _follow(guest: process.Process, share: Path, deadline: float,
            request: Request) -> int:
    """Copy the command's output until it has ended; return its status."""
    with contextlib.ExitStack() as stack:
        followers = [
            stack.enter_context(process.Follower(share / name, to.buffer))
            for name, to in (('stdout', sys.stdout), ('stderr', sys.stderr))
            if (share / name).exists()]
        status = share / 'status'
        while True:
            alive = guest.alive()
            done = status.exists()
            for follower in followers:
                follower.copy()
            if done:
                return int(status.read_text())
            if not alive:
                raise errors.ProcessEnded(
                    'the kernel node, before its command,', _console(guest))
            if time.monotonic() >= deadline:
                raise errors.DeadlinePassed(
                    f'{shlex.join(request.argv)} in a kernel node, which was '
                    'ended', request.timeout_s, _console(guest))
            time.sleep(process.POLL_S)


def _console(guest: process.Process) -> str:
    """Quote the end of the node's console."""
    return 'The end of its console:\n' + guest.tail()


def _sweep() -> None:
    """Remove what killed callers have left."""
    for folder in paths.RUN.glob(f'{_PREFIX}*'):
        owner = folder.name.removeprefix(_PREFIX).partition('-')[0]
        if Path('/proc', owner).exists():
            continue
        beside.remove(folder)

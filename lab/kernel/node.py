# SPDX-License-Identifier: Apache-2.0
"""Describe and boot a kernel node: user-mode-linux as an ordinary process.

A node sees the machine's files through hostfs, under an overlay on a tmpfs:
whatever it writes is its own and goes when it ends. The exceptions are the
shares of its :class:`NodeSpec`, folders of the host that are written for real.
``/tmp``, ``/run``, ``/dev`` and ``/var/log`` are empty at the start, save for
the repository, the virtual environment and the payload's folder, wherever
those lie.

The payload (:attr:`NodeSpec.init`) is a shell script that is sourced as root
at the end of the start-up, with the functions of ``functions.sh`` at hand
(``node_udev``, ``node_lio``, ``node_initiator NAME``, ``node_dm``,
``node_network ADDRESS/PREFIX``, ``node_hosts``, ``node_xfs``,
``node_spawn LOG COMMAND...``, ``node_mailbox FOLDER``). When it ends, the node
powers off; a node that is to stay ends its payload with ``node_mailbox``.

A typical node of the cloud::

    spec = NodeSpec('storage', 1536, 0, disks=(200 << 30,), tap='tapsto',
                    shares=(logs, box), init=payload, environ={'IP': ip})
    process = start(spec, state_dir, netns='lab', log=logs / 'console')
    Mailbox(box, process).wait_ready()
"""

from collections.abc import Iterable, Mapping
import dataclasses
from pathlib import Path
import re
import shlex
import time

from lab import errors, paths, process
from lab.kernel import cpus, host

#: What must not stand in a path on the kernel's command line: it is split at
#: blanks, and ubd takes a comma or colon for the end of the file's name.
_UNFIT = re.compile(r'[\s,:"\']')


@dataclasses.dataclass(frozen=True)
class NodeSpec:
    """A kernel node to boot.

    :param name: host name.
    :param memory_mib: its memory; what it writes to its root counts too.
    :param cpu: the host's core to run on, None for the least taken one.
    :param disks: sizes in bytes; they are ``/dev/ubda``, ``/dev/ubdb``, ...
    :param tap: a tap device of the host (in ``netns``), which the node has as
        ``vec0``; None for no network.
    :param shares: folders of the host that the node has for real, at the
        same path.
    :param init: shell script that the node runs, None to only boot.
    :param environ: environment of the payload; not for secrets.
    """

    name: str
    memory_mib: int = 2048
    cpu: int | None = None
    disks: tuple[int, ...] = ()
    tap: str | None = None
    shares: tuple[Path, ...] = ()
    init: Path | None = None
    environ: Mapping[str, str] = dataclasses.field(default_factory=dict)


def start(spec: NodeSpec, state_dir: Path, netns: str | None = None, *,
          log: Path, die_with_parent: bool = False,
          keep_disks: bool = False) -> process.Process:
    """Boot a node.

    :param spec: what to boot.
    :param state_dir: for its disks and settings; made if it is missing. The
        disks there are made anew, unless ``keep_disks``.
    :param netns: network namespace that has ``spec.tap``.
    :param log: the node's console is appended to it.
    :param die_with_parent: end the node when the calling thread ends.
    :param keep_disks: go on with the disks that are there, as after a reboot.
    :returns: the node's process; it has not booted yet.
    :raises LabError: when a program or kernel is missing, or a path does not
        fit on the kernel's command line.
    """
    host.check(spec.memory_mib)
    host.allow_mappings(spec.memory_mib)
    state_dir.mkdir(parents=True, exist_ok=True)
    disks = [_make_disk(state_dir / f'ubd{chr(ord("a") + n)}', size,
                        keep_disks)
             for n, size in enumerate(spec.disks)]
    environ = state_dir / 'node.env'
    environ.write_text(_environ(spec, state_dir))
    for path in (state_dir, environ, paths.KERNEL_SHELL):
        if _UNFIT.search(str(path)):
            raise errors.LabError(
                f'the kernel takes no path with blanks, commas, colons or '
                f'quotes, such as {str(path)!r}; move the repository')
    log.parent.mkdir(parents=True, exist_ok=True)
    with cpus.lock(paths.STATE / 'cpus.lock'):
        core = cpus.choose() if spec.cpu is None else spec.cpu
        node = process.spawn(
            f'node {spec.name}',
            [*_wrapper(core, netns, die_with_parent),
             *kernel_command(spec, state_dir, disks, environ)],
            log, env=host.environ())
        # Only a node that shows its core counts when the next one chooses.
        process.wait_for(
            lambda: cpus.is_node(node.pid) or not node.alive(),
            f'the kernel of node {spec.name} to start', 30, poll_s=0.005)
    return node


def _make_disk(path: Path, size_bytes: int, keep: bool = False) -> Path:
    """Make an empty sparse file of that size, unless it is to be kept."""
    if keep and path.exists():
        return path
    path.unlink(missing_ok=True)
    with path.open('wb') as f:
        f.truncate(size_bytes)
    return path


def kernel_command(spec: NodeSpec, state_dir: Path, disks: Iterable[Path],
                   environ: Path) -> list[str]:
    """Build the kernel's command line.

    :param spec: what to boot.
    :param state_dir: where the kernel puts its pid file and control socket.
    :param disks: files of the disks, in order.
    :param environ: the settings' file; a ``key=value`` that the kernel does
        not know gets into the first program's environment.
    """
    command = [
        host.LINUX, f'mem={spec.memory_mib}M', 'root=/dev/root',
        'rootfstype=hostfs', 'rootflags=/', 'rw', 'quiet', 'panic=-1',
        f'uml_dir={state_dir}', f'umid={spec.name}',
        'con=null', 'con0=null,fd:1', 'ssl=null',
        f'init={paths.KERNEL_SHELL}/stage1.sh', f'NODE_ENV={environ}']
    command += [f'{path.name}={path}' for path in disks]
    if spec.tap:
        command.append(
            f'vec0:transport=tap,ifname={spec.tap},depth=128,gro=1')
    return command


def _wrapper(core: int, netns: str | None, die: bool) -> list[str]:
    """Return the commands that run the kernel; each execs the next."""
    return [*(('ip', 'netns', 'exec', netns) if netns else ()),
            *(('setpriv', '--pdeathsig', 'KILL') if die else ()),
            'taskset', '-c', str(core)]


def _environ(spec: NodeSpec, state_dir: Path) -> str:
    """Write the settings as shell assignments, which both stages source."""
    scalars = {
        **spec.environ,
        'NODE_NAME': spec.name,
        'NODE_SHELL': str(paths.KERNEL_SHELL),
        'NODE_INIT': str(spec.init or ''),
        'NODE_ROOT': str(paths.ROOT),
        'NODE_PATH': f'{paths.VENV}/bin:{host.PROGRAM_PATH}',
    }
    kept = [paths.ROOT, paths.VENV, state_dir]
    if spec.init:
        kept.append(spec.init.parent)
    lists = {'NODE_KEPT': _outermost(kept), 'NODE_SHARES': spec.shares}
    lines = [f'export {k}={shlex.quote(v)}' for k, v in scalars.items()]
    lines += [f'{k}=({shlex.join(str(p) for p in v)})'
              for k, v in lists.items()]
    return '\n'.join(lines) + '\n'


def _outermost(folders: Iterable[Path]) -> list[Path]:
    """Leave out the folders that lie in another one of them."""
    unique = sorted({f.resolve() for f in folders})
    return [f for f in unique
            if not any(f.is_relative_to(o) for o in unique if o != f)]


def wait_end(node: process.Process, timeout_s: float) -> None:
    """Wait until a node has powered off, else end it."""
    deadline = time.monotonic() + timeout_s
    while node.alive() and time.monotonic() < deadline:
        time.sleep(process.POLL_S)
    node.end(grace_s=0)

# SPDX-License-Identifier: Apache-2.0
"""Describe and boot a kernel node: user-mode-linux as an ordinary process.

A node has the machine's files through hostfs, below an overlay on a tmpfs:
what it writes is discarded when it ends. The exceptions are the shares of its
:class:`NodeSpec`, directories of the host that it writes to. ``/tmp``,
    ``/run``, ``/dev`` and ``/var/log`` are empty at first, except for the
    repository, the virtual environment and the payload's directory, if these
    are there.

The payload (:attr:`NodeSpec.init`) is a shell script that is sourced as root
at the end of the boot. It can use the functions of ``functions.sh``
(``node_udev``, ``node_lio``, ``node_initiator NAME``, ``node_dm``,
``node_network ADDRESS/PREFIX``, ``node_hosts``, ``node_xfs``,
``node_spawn LOG COMMAND...``, ``node_mailbox FOLDER``). The node powers off at
its end; the payload of a node that keeps running ends with ``node_mailbox``.

A typical node of the cloud::

    spec = NodeSpec('storage', 1536, 0, disks=(200 << 30,), taps=('sto',),
                    shares=(logs, box), init=payload, environ={'IP': ip})
    process = start(spec, state_dir, netns='lab', log=logs / 'console')
    Mailbox(box, process).wait_ready()
"""

from collections.abc import Iterable, Mapping
import dataclasses
import hashlib
from pathlib import Path
import re
import shlex
import time

from lab import errors, paths, process
from lab.kernel import cpus, host

#: Characters that a path on the kernel's command line must not have: it is
#: split at blanks, and for ubd a comma or colon ends the file name.
_UNFIT = re.compile(r'[\s,:"\']')


@dataclasses.dataclass(frozen=True)
class NodeSpec:
    """A kernel node to boot.

    :param name: host name.
    :param memory_mib: its memory; files that it writes use it, too.
    :param cpu: core of the host, None for the one with the fewest nodes.
    :param disks: sizes in bytes of ``/dev/ubda``, ``/dev/ubdb``, ...
    :param taps: tap devices of the host (in ``netns``): ``vec0``, ``vec1``,
        ... in the node.
    :param shares: directories of the host that the node writes to, at the same
        path.
    :param init: shell script that the node runs, None to boot only.
    :param environ: environment of the payload, without secrets.
    :param first: the node's first program, which sets its root up; by default
        it is the machine's.
    :param words: more words for the kernel's command line.
    """

    name: str
    memory_mib: int = 2048
    cpu: int | None = None
    disks: tuple[int, ...] = ()
    taps: tuple[str, ...] = ()
    shares: tuple[Path, ...] = ()
    init: Path | None = None
    environ: Mapping[str, str] = dataclasses.field(default_factory=dict)
    first: Path = paths.KERNEL_SHELL / 'stage1.sh'
    words: tuple[str, ...] = ()


def start(spec: NodeSpec, state_dir: Path, netns: str | None = None, *,
          log: Path, die_with_parent: bool = False,
          keep_disks: bool = False) -> process.Process:
    """Boot a node.

    :param spec: what to boot.
    :param state_dir: for its disks and settings; created if missing.
    :param netns: network namespace that has ``spec.taps``.
    :param log: the node's console is appended to it.
    :param die_with_parent: end the node when the calling thread ends.
    :param keep_disks: use existing disks, as after a reboot; otherwise they
        are replaced by empty ones.
    :returns: the node's process; the node has not booted yet.
    :raises LabError: when a program or the kernel is missing, or the kernel's
        command line cannot have a path.
    """
    host.check(spec.memory_mib)
    host.allow_mappings(spec.memory_mib)
    state_dir.mkdir(parents=True, exist_ok=True)
    disks = [_make_disk(state_dir / f'ubd{chr(ord("a") + n)}', size,
                        keep_disks)
             for n, size in enumerate(spec.disks)]
    environ = state_dir / 'node.env'
    environ.write_text(_environ(spec, state_dir))
    for path in (state_dir, environ, spec.first):
        if _UNFIT.search(str(path)):
            raise errors.LabError(
                f'{str(path)!r}: the kernel takes no path with blanks, '
                'commas, colons or quotes. Move the repository')
    log.parent.mkdir(parents=True, exist_ok=True)
    with cpus.lock(paths.STATE / 'cpus.lock'):
        core = cpus.choose() if spec.cpu is None else spec.cpu
        node = process.spawn(
            f'node {spec.name}',
            [*_wrapper(core, netns, die_with_parent),
             *kernel_command(spec, state_dir, disks, environ)],
            log, env=host.environ())
        # The next node's choice counts only nodes whose kernel runs.
        process.wait_for(
            lambda: cpus.is_node(node.pid) or not node.alive(),
            f'the kernel of node {spec.name} to start', 30, poll_s=0.005)
    return node


def _make_disk(path: Path, size_bytes: int, keep: bool = False) -> Path:
    """Make an empty sparse file, or keep an existing one."""
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
    :param state_dir: for the kernel's pid file and control socket.
    :param disks: files of the disks, in order.
    :param environ: file with the settings. The kernel passes unknown
        ``key=value`` words to the first program's environment.
    """
    command = [
        host.LINUX, f'mem={spec.memory_mib}M', 'root=/dev/root',
        'rootfstype=hostfs', 'rootflags=/', 'rw', 'quiet', 'panic=-1',
        f'uml_dir={state_dir}', f'umid={spec.name}',
        'con=null', 'con0=null,fd:1', 'ssl=null',
        f'init={spec.first}', f'NODE_ENV={environ}', *spec.words]
    command += [f'{path.name}={path}' for path in disks]
    command += [f'vec{n}:transport=tap,ifname={tap},depth=128,gro=1,'
                f'mac={hardware_address(spec.name, n)}'
                for n, tap in enumerate(spec.taps)]
    return command


def hardware_address(name: str, number: int) -> str:
    """Return the MAC address of a node's network device.

    It survives a reboot, as that of a machine does: otherwise the others would
    send to the former one until their ARP entries expire.

    :param name: of the node.
    :param number: of the device.
    """
    digest = hashlib.sha256(f'{name} {number}'.encode()).digest()
    # Administered locally, of one station (IEEE 802).
    return ':'.join(f'{byte:02x}' for byte in (0x02, *digest[:5]))


def _wrapper(core: int, netns: str | None, die: bool) -> list[str]:
    """Return the commands in front of the kernel; each execs the next."""
    return [*(('ip', 'netns', 'exec', netns) if netns else ()),
            *(('setpriv', '--pdeathsig', 'KILL') if die else ()),
            'taskset', '-c', str(core)]


def _environ(spec: NodeSpec, state_dir: Path) -> str:
    """Return the settings as shell assignments, which both stages source."""
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
    """Return the directories that are not inside another one of them."""
    unique = sorted({f.resolve() for f in folders})
    return [f for f in unique
            if not any(f.is_relative_to(o) for o in unique if o != f)]


def wait_end(node: process.Process, timeout_s: float) -> None:
    """Wait until a node has powered off; end it at the deadline."""
    deadline = time.monotonic() + timeout_s
    while node.alive() and time.monotonic() < deadline:
        time.sleep(process.POLL_S)
    node.end(grace_s=0)

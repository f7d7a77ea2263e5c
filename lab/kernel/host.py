# SPDX-License-Identifier: Apache-2.0
"""What a node needs from the machine: programs, modules, limits."""

import hashlib
import os
from pathlib import Path
import shutil
import subprocess

from lab import errors, paths

#: The nodes' kernel (Debian package user-mode-linux).
LINUX = '/usr/bin/linux.uml'

#: Search path of programs, on the host and in a node.
PROGRAM_PATH = ('/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:'
                '/sbin:/bin')

_MODULES = Path('/usr/lib/uml/modules')

_PROGRAMS = ((LINUX, 'user-mode-linux'), ('taskset', 'util-linux'),
             ('setpriv', 'util-linux'), ('modprobe', 'kmod'),
             ('udevadm', 'udev'), ('iscsid', 'open-iscsi'),
             ('multipathd', 'multipath-tools'), ('mkfs.xfs', 'xfsprogs'))


#: Has the nodes' memory, see :func:`environ`.
_SHM = Path('/dev/shm')

#: Maximum number of a process's mappings (proc_sys_vm(5)).
_MAX_MAP_COUNT = Path('/proc/sys/vm/max_map_count')


def check(memory_mib: int) -> None:
    """Check that a node can run here.

    :param memory_mib: memory of the node.
    :raises MissingProgram: when a Debian package is missing.
    :raises LabError: when not root, or when there is too little memory.
    """
    for program, package in _PROGRAMS:
        if not shutil.which(program, path=PROGRAM_PATH):
            raise errors.MissingProgram(program, package)
    if not any(_MODULES.glob('*/modules.dep')):
        raise errors.MissingProgram(str(_MODULES), 'user-mode-linux')
    if os.geteuid():
        raise errors.LabError(
            'a kernel node uses the machine\'s files as its root filesystem: '
            'run this as root')
    room_mib = shutil.disk_usage(_SHM).total >> 20
    if room_mib < memory_mib:
        raise errors.LabError(
            f'{_SHM} has {room_mib} MiB, the node needs {memory_mib} MiB '
            f'there: mount -o remount,size={memory_mib * 2}M {_SHM}')


def allow_mappings(memory_mib: int, limit: Path = _MAX_MAP_COUNT) -> None:
    """Let each process of a node map as many pages as the node has.

    A process of a node is an address space on the host, in which each
    contiguous range of pages is a mapping. When the host's limit is reached,
    the node's kernel kills the process ("UML ran out of memory on the host
    side", arch/um/kernel/tlb.c). Debian's limit allows for 256 MiB. The new
    limit holds until the machine's next boot; a higher one is left unchanged.

    :param memory_mib: of the node.
    :raises LabError: when the limit is too low and cannot be raised.
    """
    needed = 65530 + memory_mib * 256   # pages of 4 KiB
    if int(limit.read_text()) >= needed:
        return
    try:
        limit.write_text(f'{needed}\n')
    except OSError as e:
        raise errors.LabError(
            f'a node of {memory_mib} MiB needs up to {needed} mappings per '
            f'process, {limit} allows {limit.read_text().strip()}: {e}. Raise '
            f'it on the host: sysctl vm.max_map_count={needed}'
        ) from e


def environ(cpuinfo: Path = Path('/proc/cpuinfo')) -> dict[str, str]:
    """Return the environment of a node's kernel on the host.

    It has no TMPDIR: the kernel would keep its memory in an unlinked file
    there instead of in /dev/shm, which is slow on a disk.

    :param cpuinfo: description of the processor.
    """
    libraries = [_library('heartbeat')]
    if 'amx_tile' in cpuinfo.read_text().split():
        libraries.append(_library('xstate'))
    return {'PATH': PROGRAM_PATH, 'HOME': '/root',
            'LD_PRELOAD': ':'.join(map(str, libraries))}


def _library(name: str) -> Path:
    """Build a library that works around a kernel bug, see NAME.c."""
    source = paths.KERNEL_SHELL / f'{name}.c'
    digest = hashlib.sha256(source.read_bytes()).hexdigest()[:12]
    library = paths.STATE / 'kernel' / f'{name}-{digest}.so'
    if library.exists():
        return library
    if not shutil.which('gcc'):
        raise errors.MissingProgram('gcc', 'gcc libc6-dev')
    library.parent.mkdir(parents=True, exist_ok=True)
    scratch = library.with_suffix(f'.{os.getpid()}')
    done = subprocess.run(
        ['gcc', '-O2', '-fPIC', '-shared', '-o', scratch, source],
        capture_output=True, text=True, check=False)
    if done.returncode:
        raise errors.LabError(f'gcc cannot build {source}:\n{done.stderr}')
    scratch.replace(library)
    return library

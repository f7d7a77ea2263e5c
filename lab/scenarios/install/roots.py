# SPDX-License-Identifier: Apache-2.0
"""Root directories made anew, with what an operator already has.

``debootstrap`` makes a Debian, once. For each kind of host, the packages of
that host's service and its virtual environment are added, once more. Both
results are kept as tarballs; a run unpacks the second one.
"""

import dataclasses
import hashlib
from pathlib import Path
import shutil
import subprocess
import sys

from lab import errors, paths
from lab.scenarios.install import chroot, machine

STATE = paths.STATE / 'roots'

SUITE = 'bookworm'

#: Packages of a host as its operating system's installer leaves it.
_BASE = ('systemd', 'systemd-sysv', 'udev', 'dbus', 'ca-certificates',
         'iproute2', 'procps')

_CONSTRAINTS = paths.ROOT / 'constraints.txt'

#: Makes the environments, as the kept roots do not have pip's cache.
_UV = paths.VENV / 'bin' / 'uv'


@dataclasses.dataclass(frozen=True, slots=True)
class Kind:
    """A kind of host, and what it has before this driver is installed.

    :param name: of the kind.
    :param service: OpenStack service; the user of that name runs it.
    :param unit: the service's unit.
    :param packages: Debian packages of the service.
    :param wheels: Python packages of its environment.
    :param groups: the user's groups.
    """

    name: str
    service: str
    unit: str
    packages: tuple[str, ...]
    wheels: tuple[str, ...]
    groups: tuple[str, ...] = ()

    @property
    def venv(self) -> str:
        """The path of its environment."""
        return f'/opt/{self.service}'


STORAGE = Kind('storage', 'cinder', 'cinder-volume', ('python3-venv',),
               ('cinder', 'pymysql'))
COMPUTE = Kind('compute', 'nova', 'nova-compute', (
    'python3-venv', 'libvirt-daemon-system', 'libvirt-clients',
    'qemu-system-x86'), ('nova', 'libvirt-python'), ('libvirt', 'kvm'))
KINDS = (STORAGE, COMPUTE)


def base(suite: str = SUITE) -> Path:
    """Make a Debian by debootstrap, unless it is kept; return its tarball."""
    tarball = STATE / f'{suite}-{_key(suite, *_BASE)}.tar'
    if tarball.exists():
        return tarball
    root = STATE / f'{suite}.new'
    _remove(root)
    machine.run(['unshare', '-m', 'debootstrap', '--variant=minbase',
                 f'--include={",".join(_BASE)}', suite, str(root)],
                online=True)
    # Otherwise systemd takes the first boot for that of an image, and enables
    # units by its presets.
    (root / 'etc/machine-id').write_text(
        hashlib.sha256(str(root).encode()).hexdigest()[:32] + '\n')
    # A place for the modules of the node's kernel.
    (root / 'usr/lib/modules').mkdir(exist_ok=True)
    _keep(root, tarball)
    return tarball


def given(kind: Kind) -> Path:
    """Make a host that runs its service without this driver.

    :returns: its tarball, kept if it is there.
    """
    tarball = STATE / (f'{kind.name}-' + _key(
        base().name, repr(kind), _CONSTRAINTS.read_text()) + '.tar')
    if tarball.exists():
        return tarball
    root = STATE / f'{kind.name}.new'
    unpack(base(), root)
    chroot.run(root, ['apt-get', '-q', 'update'])
    chroot.run(root, ['apt-get', '-q', '-y', 'install',
                      '--no-install-recommends', *kind.packages])
    home = f'/var/lib/{kind.service}'
    chroot.run(root, ['useradd', '--system', '--user-group', '--create-home',
                      '--home-dir', home, '--shell', '/usr/sbin/nologin',
                      *(['--groups', ','.join(kind.groups)]
                        if kind.groups else []), kind.service])
    chroot.run(root, ['/usr/bin/python3', '-m', 'venv', kind.venv])
    cache = Path(subprocess.run(
        [_UV, 'cache', 'dir'], capture_output=True, text=True, check=True
    ).stdout.strip())
    cache.mkdir(parents=True, exist_ok=True)
    chroot.run(root, [
        '/run/uv', 'pip', 'install', '--python', f'{kind.venv}/bin/python',
        '--compile-bytecode', '--link-mode', 'copy',
        '--find-links', '/run/wheels', '-c', '/run/constraints.txt',
        *kind.wheels],
        binds={_UV.resolve(): '/run/uv', cache: '/run/uv-cache',
               _CONSTRAINTS: '/run/constraints.txt', _wheels(): '/run/wheels'},
        env={'UV_CACHE_DIR': '/run/uv-cache'})
    chroot.run(root, ['apt-get', '-q', 'clean'])
    _keep(root, tarball)
    return tarball


def unpack(tarball: Path, root: Path) -> None:
    """Unpack a tarball to a directory, in the place of an earlier one."""
    _remove(root)
    root.mkdir(parents=True)
    machine.run(['tar', '-C', str(root), '--numeric-owner', '-xpf',
                 str(tarball)])


def format_disk(path: Path, size_bytes: int) -> None:
    """Make a sparse disk with an XFS, which a node would do slowly."""
    with path.open('wb') as f:
        f.truncate(size_bytes)
    machine.run(['mkfs.xfs', '-q', '-l', 'size=64m', str(path)])


def source(folder: Path) -> None:
    """Unpack a source distribution of the working tree to a directory."""
    work = STATE / 'source.new'
    _remove(work)
    tree, out = work / 'tree', work / 'out'
    machine.run(['git', 'clone', '--quiet', str(paths.ROOT), str(tree)])
    changed = subprocess.run(
        ['git', 'ls-files', '-m', '-o', '--exclude-standard'], cwd=paths.ROOT,
        capture_output=True, text=True, check=True).stdout.splitlines()
    for name in changed:
        if (paths.ROOT / name).exists():
            (tree / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(paths.ROOT / name, tree / name)
    machine.run([
        str(_UV), 'build', '--offline', '--no-build-isolation', '--sdist',
        '--python', sys.executable, '--out-dir', str(out), str(tree)])
    made, = out.glob('*.tar.gz')
    folder.mkdir(parents=True)
    machine.run(['tar', '-C', str(folder), '--strip-components=1',
                 '--no-same-owner', '-xf', str(made)])
    _remove(work)


def _wheels() -> Path:
    """Return a directory with the wheels that this machine compiles.

    The roots have no compiler. Debian's headers are the same.
    """
    folder = STATE / 'wheels'
    if not any(folder.glob('libvirt_python-*.whl')):
        machine.run([
            sys.executable, '-m', 'pip', 'wheel', '-q', '--no-deps', '-w',
            str(folder), '-c', str(_CONSTRAINTS), 'libvirt-python'],
            online=True)
    return folder


def _key(*parts: str) -> str:
    """Return a name for a tarball that changes with what it is made of."""
    return hashlib.sha256('\0'.join(parts).encode()).hexdigest()[:12]


def _keep(root: Path, tarball: Path) -> None:
    """Make a root's tarball, and remove the root."""
    scratch = tarball.with_suffix('.new')
    machine.run(['tar', '-C', str(root), '--numeric-owner',
                 '--one-file-system', '-cf', str(scratch), '.'])
    scratch.replace(tarball)
    _remove(root)


def _remove(root: Path) -> None:
    """Remove a directory in which nothing may be mounted."""
    mounted = [line.split()[1] for line in
               Path('/proc/self/mounts').read_text().splitlines()
               if line.split()[1].startswith(f'{root}/')]
    if mounted:
        raise errors.LabError(f'{root} has mounts: umount {mounted[0]}')
    shutil.rmtree(root, ignore_errors=True)

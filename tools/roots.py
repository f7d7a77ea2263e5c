# SPDX-License-Identifier: Apache-2.0
"""Another release of Debian, in a directory, for its version of Python.

debootstrap makes it once. Commands run in it with the repository at its own
path, in namespaces of their own: nothing stays mounted.
"""

import os
from pathlib import Path
import shutil
import subprocess

from tools import dist, suite

FOLDER = suite.ROOT / '.lab' / 'roots'

#: Debian's releases and their versions of Python.
RELEASES = {'trixie': '3.13'}

#: What the unit tests need of Debian: programs, what compiles Python packages
#: that have no wheel, and librados' module for Debian's own Python.
PACKAGES = ('ca-certificates', 'dmsetup', 'gcc', 'libc6-dev', 'lvm2',
            'procps', 'python3-dev', 'python3-rados', 'python3-rbd',
            'python3-venv', 'qemu-utils', 'sudo', 'systemd')

#: The modules that no package index has.
_DEBIAN = 'usr/lib/python3/dist-packages'
_MODULES = ('rados', 'rbd')

#: Mounts the directories that follow the root's, until the first word after
#: an empty one. The command gets its own /proc and /tmp. A directory may be
#: below /tmp itself, so all are held elsewhere until that is mounted.
_ENTER = '''
set -e
root=$1 tree=$2 held=$1/mnt n=0; shift
mount -t tmpfs tmpfs "$held"
for path do
    [ -n "$path" ] || break
    n=$((n + 1))
    mkdir "$held/$n"
    mount --bind "$path" "$held/$n"
done
mount -t tmpfs tmpfs "$root/tmp"
n=0
while [ -n "$1" ]; do
    n=$((n + 1))
    mkdir -p "$root$1"
    mount --bind "$held/$n" "$root$1"
    shift
done
shift
umount -R "$held"
mount -t proc proc "$root/proc"
mount --rbind /dev "$root/dev"
exec chroot "$root" env -C "$tree" "$@"
'''


class RootError(Exception):
    """The release cannot be installed."""


class Root:
    """A release of Debian in a directory.

    :param release: its name, one of :data:`RELEASES`.
    """

    def __init__(self, release: str) -> None:
        self.release = release
        self.folder = FOLDER / release

    def make(self) -> None:
        """Install it, unless it is there with all packages.

        :raises RootError: when that fails.
        """
        stamp = self.folder.with_suffix('.packages')
        wanted = ' '.join(PACKAGES)
        if (self.folder.exists() and stamp.exists()
                and stamp.read_text() == wanted):
            return
        if not shutil.which('debootstrap'):
            raise RootError('debootstrap is missing: apt-get install '
                            'debootstrap')
        scratch = FOLDER / f'{self.release}.new'
        shutil.rmtree(scratch, ignore_errors=True)
        scratch.mkdir(parents=True)
        done = subprocess.run(
            ['debootstrap', '--variant=minbase',
             f'--include={",".join(PACKAGES)}', self.release, str(scratch)],
            check=False, text=True, errors='replace',
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT)
        if done.returncode:
            raise RootError(f'debootstrap: exit status {done.returncode}\n'
                            f'{done.stdout}')
        shutil.rmtree(self.folder, ignore_errors=True)
        scratch.rename(self.folder)
        stamp.write_text(wanted)

    def command(self, *words: str) -> tuple[str, ...]:
        """Return the command that runs another one in the root.

        It needs root's rights; the working directory is the repository.
        """
        cache = os.environ.get('UV_CACHE_DIR') or str(
            Path.home() / '.cache' / 'uv')
        Path(cache).mkdir(parents=True, exist_ok=True)
        return ('unshare', '--mount', '--propagation', 'private', '--pid',
                '--fork', '--kill-child', '--', 'sh', '-c', _ENTER, 'sh',
                str(self.folder), str(dist.ROOT), cache, '/etc/ssl/certs', '',
                *words)

    def link_ceph(self, venv: Path) -> None:
        """Let an environment import librados' and librbd's modules.

        :raises RootError: when Debian's are missing.
        """
        for site in venv.glob('lib/python3*/site-packages'):
            for name in _MODULES:
                found = list((self.folder / _DEBIAN).glob(f'{name}.*.so'))
                if len(found) != 1:
                    raise RootError(f'/{_DEBIAN}/{name} is missing in '
                                    f'{self.folder}')
                (site / found[0].name).symlink_to(
                    Path('/', _DEBIAN, found[0].name))

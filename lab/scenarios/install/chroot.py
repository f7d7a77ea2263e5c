# SPDX-License-Identifier: Apache-2.0
"""Run commands in another root directory, with this machine's network.

A kernel node reaches only the cloud. Debian's mirror and the index of Python
packages are asked from here, before the root is booted.
"""

from collections.abc import Mapping, Sequence
import os
from pathlib import Path
import shlex

from lab import paths
from lab.scenarios.install import machine

#: Certificate authorities of this machine, which its index of Python packages
#: may have one of its own of.
_AUTHORITIES = Path('/etc/ssl/certs/ca-certificates.crt')
_BORROWED_AUTHORITIES = '/run/authorities.crt'

#: Debian's way to keep package scripts from starting services, as a file that
#: exists only in the mounts of a command.
_POLICY = '#!/bin/sh\nexit 101\n'

_PATH = '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin'


def run(root: Path, argv: Sequence[str], *,
        binds: Mapping[Path, str] | None = None, cwd: str = '/',
        env: Mapping[str, str] | None = None) -> str:
    """Run a command in a root; nothing stays mounted.

    :param root: the root directory.
    :param argv: the command.
    :param binds: directories and files of the machine -> their paths in the
        root, which are removed afterwards if they were not there.
    :param cwd: its working directory, in the root.
    :param env: variables to add.
    :returns: its standard output and standard error.
    :raises machine.CommandFailed: when its status is not 0, or it took too
        long.
    """
    policy = paths.STATE / 'policy-rc.d'
    policy.write_text(_POLICY)
    policy.chmod(0o755)
    wanted = {policy: '/usr/sbin/policy-rc.d', **(binds or {}),
              Path('/etc/resolv.conf'): '/etc/resolv.conf',
              _AUTHORITIES: _BORROWED_AUTHORITIES}
    made = [p for source, target in wanted.items()
            if (p := _place(root, source, target))]
    script = ['set -e', *(
        f'mount --bind {shlex.quote(str(source))} '
        f'{shlex.quote(f"{root}{target}")}'
        for source, target in wanted.items()),
        f'mount -t proc proc {shlex.quote(f"{root}/proc")}',
        f'mount -t tmpfs tmpfs {shlex.quote(f"{root}/dev")}',
        *(f'mknod -m 666 {shlex.quote(f"{root}/dev/{name}")} c 1 {minor}'
          for name, minor in (('null', 3), ('zero', 5), ('random', 8),
                              ('urandom', 9))),
        f'ln -s /proc/self/fd {shlex.quote(f"{root}/dev/fd")}',
        f'exec chroot {shlex.quote(str(root))} /bin/sh -c '
        + shlex.quote(f'cd {shlex.quote(cwd)} && exec {shlex.join(argv)}')]
    try:
        return machine.run(
            ['unshare', '-m', '/bin/sh', '-c', '\n'.join(script)],
            online=True, what=f'{shlex.join(argv)} in {root}',
            env=_environ(env or {}))
    finally:
        for path in made:
            path.rmdir() if path.is_dir() else path.unlink()


def _environ(more: Mapping[str, str]) -> dict[str, str]:
    """Return the environment: settings of pip and uv apply."""
    kept = {k: v for k, v in os.environ.items()
            if k.startswith(('PIP_', 'UV_')) or k.lower().endswith('_proxy')}
    authorities = dict.fromkeys(
        ('PIP_CERT', 'SSL_CERT_FILE'), _BORROWED_AUTHORITIES)
    return {**kept, **authorities, 'PATH': _PATH, 'HOME': '/root',
            'LANG': 'C.UTF-8', 'DEBIAN_FRONTEND': 'noninteractive', **more}


def _place(root: Path, source: Path, target: str) -> Path | None:
    """Make the place of a mount; return it if it was not there."""
    place = root / target.lstrip('/')
    if place.is_symlink() or place.exists():
        return None
    place.parent.mkdir(parents=True, exist_ok=True)
    if source.is_dir():
        place.mkdir()
    else:
        place.touch()
    return place

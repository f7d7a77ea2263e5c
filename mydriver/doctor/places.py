# SPDX-License-Identifier: Apache-2.0
"""Commands that mend the directory of a store."""

import os
from pathlib import Path
import shlex

from mydriver.doctor import owned
from mydriver.doctor.host import Host


def mend(host: Host, path: str, wrong: str) -> str:
    """Return what makes a directory usable for a store.

    Nothing is formatted, and nothing that is mounted is changed but its
    options.

    :param path: the directory.
    :param wrong: what is wrong with it.
    """
    mount = _unmounted(host, path)
    if mount:
        return f'mount {shlex.quote(mount)}'
    quoted = shlex.quote(path)
    if 'does not exist' in wrong:
        return f'install -d -m 0750 -o {shlex.quote(host.user)} {quoted}'
    if 'Read-only' in wrong:
        return (f'mount -o remount,rw "$(findmnt -no TARGET -T {quoted})"')
    if 'cannot be written' in wrong:
        return owned.inside(
            Path(path), f'chown {shlex.quote(host.user)} . && chmod 0750 .',
            'mydriver status')
    return (f'${{EDITOR:-vi}} /etc/fstab && mount {quoted}  # a filesystem '
            'of XFS (mkfs.xfs) or btrfs')


def _unmounted(host: Host, path: str) -> str | None:
    """Return the mount point in fstab that lacks its filesystem, if any."""
    mounted = {_unescaped(line.split()[1]) for line in
               (host.text('/proc/mounts') or '').splitlines() if line}
    wanted = [_unescaped(fields[1]) for line in
              (host.text('/etc/fstab') or '').splitlines()
              if len(fields := line.split()) > 2
              and not line.lstrip().startswith('#')]
    above = [m for m in wanted if m.startswith('/') and m != '/'
             and os.path.commonpath([m, path]) == m]
    found = max(above, key=len, default=None)
    return None if found in mounted else found


def _unescaped(text: str) -> str:
    """Return a path as it is; fstab(5) writes blanks as octal numbers."""
    return text.replace('\\040', ' ').replace('\\011', '\t')

# SPDX-License-Identifier: Apache-2.0
"""The command that keeps LVM to the disks of the host."""

from collections.abc import Iterator
import re

from mydriver.doctor import host as hosts
from mydriver.doctor.host import Host

CONFIG = '/etc/lvm/lvm.conf'


def restrict(host: Host) -> str:
    """Return what lets LVM scan only the disks that it uses now.

    Disks of the kernel target are those of guests, and left out. Without a
    list of the disks, the operator has to write it.
    """
    path = host.at(CONFIG)
    listed = hosts.run(['pvs', '--noheadings', '-o', 'pv_name'])
    if listed is None or listed.status:
        return f'${{EDITOR:-vi}} {path}  # devices/global_filter'
    rules = [f'"a|^{name}$|"' for name in sorted(listed.out.split())
             if name.startswith('/') and not _is_of_guests(host, name)]
    rules.append('"r|.*|"')
    return (f"echo 'devices/global_filter = [ {', '.join(rules)} ]' >> {path}"
            '  # only the disks that LVM uses now')


def _is_of_guests(host: Host, path: str) -> bool:
    """Tell whether a device is a disk of the target, or one on top of it."""
    return any(_starts(host, f'{folder}/device/vendor', 'LIO-ORG')
               or _starts(host, f'{folder}/dm/uuid', 'LVM-')
               or re.match(r'(part\d+-)?mpath-36001405', _text(
                   host, f'{folder}/dm/uuid'))
               for folder in _folders(host, path))


def _folders(host: Host, path: str) -> Iterator[str]:
    """Yield where sysfs has a device, and the disk of a partition."""
    name = host.at(path).resolve().name
    yield f'/sys/class/block/{name}'
    real = host.at(f'/sys/class/block/{name}').resolve()
    if (real / 'partition').exists():
        yield f'/sys/class/block/{real.parent.name}'


def _starts(host: Host, path: str, beginning: str) -> bool:
    return _text(host, path).startswith(beginning)


def _text(host: Host, path: str) -> str:
    try:
        return host.text(path) or ''
    except OSError:  # the device is gone
        return ''

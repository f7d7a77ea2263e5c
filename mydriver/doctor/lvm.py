# SPDX-License-Identifier: Apache-2.0
"""The command that keeps LVM to the disks of the host.

The filter stays: it names disks by what does not change with the next boot,
and it is only written when all disks of LVM are known.
"""

from collections.abc import Iterator
from pathlib import Path
import re
import shlex

from mydriver.doctor import host as hosts
from mydriver.doctor import rewriting
from mydriver.doctor.host import Host

CONFIG = '/etc/lvm/lvm.conf'

#: One file for each volume group that the host has changed or activated.
_BACKUPS = '/etc/lvm/backup'

_LINKS = '/dev/disk/by-id'
#: Beginnings of the links that say which device it is, the best ones first.
#: Not those that follow the contents (lvm-pv-uuid-), as a guest writes its
#: own, and not those with a name that can be given to another device.
_STABLE = ('dm-uuid-', 'md-uuid-', 'wwn-', 'nvme-', 'ata-', 'scsi-',
           'virtio-', 'mmc-', 'usb-')
#: Characters of such links; the others may mean something to LVM.
_NAME = re.compile(r'[A-Za-z0-9_.:@=+-]+')


def restrict(host: Host) -> str:
    """Return what lets LVM scan only the disks that it uses now.

    Disks of the kernel target are those of guests, and left out. The operator
    has to write the list if it cannot be known, or if one of the disks is
    missing or has no name that stays.
    """
    path = str(host.at(CONFIG))
    rules = _rules(host)
    if rules is None:
        return f'{rewriting.editor([path])}  # devices/global_filter'
    listed, accepted = rules
    setting = ', '.join(f'"{rule}"' for rule in (*accepted, 'r|.*|'))
    added = rewriting.append(path, [f'devices/global_filter = [ {setting} ]'])
    return (
        'now=$(pvs --noheadings -O pv_name -o pv_name) && '
        f'[ "$(echo "$now" | xargs)" = {shlex.quote(" ".join(listed))} ] && '
        f'{added}  # only the disks that LVM uses now')


def _rules(host: Host) -> tuple[list[str], list[str]] | None:
    """Return the disks of LVM, and what accepts those of the host.

    :returns: None if they are not all known.
    """
    answer = hosts.run(['pvs', '--noheadings', '-O', 'pv_name', '-o',
                        'pv_name,vg_name'])
    if answer is None or answer.status:
        return None
    rows = [line.split() for line in answer.out.splitlines() if line.strip()]
    # A missing disk has another word, such as [unknown], for its name. A group
    # whose disks are all missing is only known by its backup.
    if (not all(row[0].startswith('/') for row in rows)
            or _groups(host) - {row[-1] for row in rows}):
        return None
    names = [row[0] for row in rows]
    links = [_link(host, name) for name in names
             if not _is_of_guests(host, name)]
    if None in links:
        return None
    return names, sorted(f'a|^{_LINKS}/{_literal(link)}$|'
                         for link in links if link)


def _groups(host: Host) -> set[str]:
    try:
        return {p.name for p in host.at(_BACKUPS).iterdir()}
    except FileNotFoundError:
        return set()


def _link(host: Host, path: str) -> str | None:
    """Return the name of the link that stays with a device, if any."""
    device = host.at(path).resolve()
    found = [(rank, p.name) for p in _entries(host.at(_LINKS))
             for rank, beginning in enumerate(_STABLE)
             if p.name.startswith(beginning) and _NAME.fullmatch(p.name)
             and p.resolve() == device]
    return min(found)[1] if found else None


def _entries(folder: Path) -> list[Path]:
    return list(folder.iterdir()) if folder.is_dir() else []


def _literal(text: str) -> str:
    """Return a regular expression of LVM for a text."""
    return re.sub(r'[.+]', r'[\g<0>]', text)


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

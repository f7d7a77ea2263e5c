# SPDX-License-Identifier: Apache-2.0
"""The disks that guests use, as libvirt knows them."""

from collections.abc import Iterator
import html
import re

from mydriver.doctor import host as hosts
from mydriver.doctor.host import Host

#: The state of each running guest, one file each; root reads it.
FOLDER = '/run/libvirt/qemu'

_SOURCE = re.compile(r"<source\b[^>]*\bdev='([^']+)'")


def disks(host: Host) -> dict[str, str] | None:
    """Return the block devices that guests use.

    :returns: the name of a guest by the path of each of its devices; None
        when it cannot be known.
    """
    found = _from_files(host)
    return _from_virsh() if found is None else found


def _from_files(host: Host) -> dict[str, str] | None:
    try:
        files = [p for p in host.at(FOLDER).iterdir() if p.suffix == '.xml']
        return {html.unescape(path): file.stem for file in files
                for path in _SOURCE.findall(file.read_text(errors='replace'))}
    except OSError:
        return None


def _from_virsh() -> dict[str, str] | None:
    virsh = ['virsh', '--readonly', '--connect', 'qemu:///system']
    listed = hosts.run([*virsh, 'list', '--name'])
    if listed is None or listed.status:
        return None
    found: dict[str, str] = {}
    for name in listed.out.split():
        answer = hosts.run([*virsh, 'domblklist', name])
        if answer is None or answer.status:
            return None  # it may just have been deleted; nobody knows
        found.update((path, name) for path in _sources(answer.out))
    return found


def _sources(table: str) -> Iterator[str]:
    """Yield the second column of virsh's table, without its head."""
    for line in table.splitlines()[2:]:
        parts = line.split(None, 1)
        if len(parts) == 2 and parts[1].startswith('/'):
            yield parts[1].strip()

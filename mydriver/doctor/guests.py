# SPDX-License-Identifier: Apache-2.0
"""The disks that guests have, as libvirt knows them.

Those of guests that do not run as well. Nova leaves the volumes of a guest
connected that it suspends or shuts off, and does not connect them again when
it resumes one.
"""

from collections.abc import Set
import dataclasses
import html
from pathlib import Path
import re
import subprocess

from mydriver.doctor import host as hosts
from mydriver.doctor.host import Host

#: The state of each running guest, one file each; root reads it. It is the
#: same for libvirtd and virtqemud.
FOLDER = '/run/libvirt/qemu'
#: The definition of each guest, one file each. There are directories as well,
#: of networks and of links to what is started at boot.
DEFINITIONS = '/etc/libvirt/qemu'

#: The disks of a guest, and whatever else it has of /dev.
_PATH = re.compile(
    r"""(?:['">](?=/dev/)|<source\b[^>]*\b(?:dev|file)=['"])([^'"<>]+)""")
#: How a complete file ends.
_ENDS = ('</domain>', '</domstatus>')


@dataclasses.dataclass(frozen=True, order=True, slots=True)
class Use:
    """A device that a guest has.

    :param path: of the device.
    :param guest: its name.
    :param runs: the guest runs with the device; else it is only defined with
        it, and may be suspended.
    """

    path: str
    guest: str
    runs: bool


def uses(host: Host) -> list[Use] | None:
    """Return the devices that guests have.

    :returns: None when it cannot be known.
    """
    read, named = _from_files(host), _names('--all')
    if read is not None and (named is None or named <= read.keys()):
        return [use for found in read.values() for use in found]
    # There are no files, or they are of another libvirt: that of Nova may
    # have its own in a container.
    return _from_virsh(named)


def _from_files(host: Host) -> dict[str, list[Use]] | None:
    """Return the devices of each guest, None if a file is missing."""
    try:
        running, defined = (_files(host.at(f)) for f in (FOLDER, DEFINITIONS))
    except OSError:
        return None
    if not running.keys() <= defined.keys():
        return None  # Nova defines each guest; these are not all of them
    if not all(text.rstrip().endswith(_ENDS)
               for text in (*running.values(), *defined.values())):
        return None
    return {name: [*_of(running.get(name, ''), name, True),
                   *_of(text, name, False)] for name, text in defined.items()}


def _files(folder: Path) -> dict[str, str]:
    return {p.stem: p.read_text(errors='replace') for p in folder.iterdir()
            if p.suffix == '.xml'}


def _from_virsh(named: Set[str] | None) -> list[Use] | None:
    running = _names()
    if named is None or running is None:
        return None
    found = []
    for name in sorted(named | running):
        for options in ([], ['--inactive']):
            text = _virsh('dumpxml', *options, '--domain', name)
            if text is None:
                return None  # it may just have been deleted; nobody knows
            found += _of(text, name, name in running and not options)
    return found


def _of(text: str, guest: str, runs: bool) -> list[Use]:
    return [Use(html.unescape(path), guest, runs)
            for path in dict.fromkeys(_PATH.findall(text))]


def _names(*options: str) -> set[str] | None:
    """Return the names of the running guests, or of those asked for."""
    listed = _virsh('list', '--name', *options)
    return None if listed is None else set(filter(None, listed.split('\n')))


def _virsh(*arguments: str) -> str | None:
    """Return what virsh says, None if it gets no answer."""
    try:
        answer = hosts.run(
            ['virsh', '--readonly', '--connect', 'qemu:///system', *arguments])
    except subprocess.TimeoutExpired:
        return None
    return None if answer is None or answer.status else answer.out

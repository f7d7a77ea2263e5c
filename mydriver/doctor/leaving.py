# SPDX-License-Identifier: Apache-2.0
"""Commands that remove what was left behind on a compute host.

Time passes before the operator runs them. The kernel may have given the name
of a disk, of a map or the number of a session to another one by then. So each
step looks once more whether it is the same thing, and whether somebody has
come to use it, and the next one is not done if one fails.
"""

from collections.abc import Iterator, Mapping, Sequence
import shlex

from mydriver import vpd
from mydriver.doctor import guests
from mydriver.initiator.sysfs import ScsiDevice, Session, Sysfs

#: Disks by their sessions.
Paths = Mapping[Session, Sequence[ScsiDevice]]

#: Target and portal of each node record.
Records = frozenset[tuple[str, str]]

_VIRSH = 'virsh --readonly --connect qemu:///system'
#: Fails if a guest has a volume by now, whether it runs or not.
_NO_GUEST = (
    f'! {{{{ cat {guests.FOLDER}/*.xml {guests.DEFINITIONS}/*.xml; {_VIRSH} '
    'list --all --name | while read -r guest; do '
    f'{_VIRSH} dumpxml --domain "$guest"; done; }}}} 2> /dev/null '
    '| grep -qF {naa}')
#: A function of the shell that fails unless a disk is the volume that it is
#: thought to be, and nobody uses it: no device on top of it or of a partition;
#: no mount of it by number, nor by name, as btrfs has a number of its own, in
#: whichever mount namespace (findmnt only sees one), and no swap space; no
#: process that has it open, by number, as the names are those of the process's
#: mount namespace. multipathd has each path open; the map counts as a device
#: on top. What cannot be read makes it fail, or the step that follows.
_IS_IDLE = ' && '.join((
    'is_idle() {{ grep -qx naa.{naa} /sys/class/block/${{1}}/device/wwid',
    "! find /sys/class/block/${{1}}/ -path '*/holders/*' | grep -q .",
    '! grep -qsE "/dev/${{1}}[0-9]* " /proc/[0-9]*/mountinfo /proc/swaps',
    ('! grep -qswF "$(find /sys/class/block/${{1}}/ -maxdepth 2 -name dev '
     '-exec cat {{}} +)" /proc/[0-9]*/mountinfo'),
    ('! find /proc/[0-9]*/fd ! -path "/proc/$(pidof multipathd)/*" -type l '
     '-exec stat -Lc %t:%T {{}} + 2> /dev/null | grep -qxF "$(find /dev/ '
     '-maxdepth 1 -regex "/dev/${{1}}[0-9]*" '
     '-exec stat -c %t:%T {{}} +)"; }}')))


def disks(sysfs: Sysfs, naa: str, over: str | None, paths: Paths,
          records: Records) -> str:
    """Return what removes a volume, and the sessions that only it is on.

    :param naa: its NAA id.
    :param over: the kernel's name of its map, if it has one.
    :param paths: its disks.
    """
    steps = [text.format(naa=naa) for text in (_NO_GUEST, _IS_IDLE)]
    if over:
        steps += _map(over, sysfs.dm_name(over) or over, naa)
    for found in paths.values():
        for device in found:
            steps += _disk(str(device.name))
    for one, found in paths.items():
        if set(sysfs.devices(one)) <= set(found):
            steps += _session(one, records)
    return ' && '.join(steps)


def session(found: Session, records: Records) -> str:
    """Return what ends a session that has no disks."""
    return ' && '.join(_session(found, records))


def record(target: str, portal: str) -> str:
    """Return what removes a node record; refused while there is a session."""
    return (f'iscsiadm -m node -T {shlex.quote(target)} -p '
            f'{shlex.quote(portal)} -o delete')


def _map(name: str, dm_name: str, naa: str) -> Iterator[str]:
    """Yield what removes a map; refused while it or a partition is open."""
    folder, quoted = f'/sys/class/block/{name}/dm', shlex.quote(dm_name)
    yield f'grep -qx {vpd.map_uuid(naa)} {folder}/uuid'
    yield f'grep -qxFe {quoted} {folder}/name'
    yield f'multipath -f {quoted}'


def _disk(name: str) -> Iterator[str]:
    yield f'is_idle {name}'
    yield f'blockdev --flushbufs /dev/{name}'
    yield f'echo 1 > /sys/class/block/{name}/device/delete'


def _session(found: Session, records: Records) -> Iterator[str]:
    folder = f'/sys/class/iscsi_session/session{found.sid}'
    yield f'grep -qxFe {shlex.quote(found.target)} {folder}/targetname'
    yield f'! ls -d {folder}/device/target*/*:*:*:* > /dev/null 2>&1'
    yield f'iscsiadm -m session -r {found.sid} -u'
    if (found.target, str(found.portal)) in records:
        yield record(found.target, str(found.portal))

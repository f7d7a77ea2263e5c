# SPDX-License-Identifier: Apache-2.0
"""Compare sessions, disks and node records of ours with what guests use.

A disk that nobody is known to use may be on its way to a guest. So nothing is
removed here, and a disk is called unused only if libvirt has answered.
"""

from collections.abc import Iterator, Mapping, Sequence
import re

from mydriver import model
from mydriver.doctor import commands, findings, guests, leaving, opened
from mydriver.doctor.findings import Check, Found
from mydriver.doctor.host import Host
from mydriver.initiator.sysfs import ScsiDevice, Session, Sysfs
from mydriver.initiator.usage import Usage
from mydriver.privileged.initiator import node_record

#: Part of the names under which udev knows disks of the kernel target: type
#: and vendor of their NAA id (drivers/target/target_core_spc.c).
_OURS = '6001405'

#: The daemon is one for all of libvirt, or one for QEMU.
_START_LIBVIRT = ('systemctl start libvirtd || systemctl start virtqemud')


def _sessions(host: Host) -> Iterator[Found]:
    sysfs = Sysfs(host.at('/sys'))
    for session in _of_ours(host, sysfs):
        if not sysfs.works(session):
            yield findings.warning(
                f'iSCSI {session} is not logged in. Is the network to '
                f'{session.portal} up, and does mydriver doctor storage on '
                'its host find the portal well?',
                'iscsiadm -m discovery -t sendtargets -o nonpersistent -p '
                f'{session.portal}')
        elif not sysfs.devices(session):
            yield findings.warning(
                f'iSCSI {session} has no disk, unless one is just being '
                'attached.', leaving.session(session, _records_of(host)))


def _disks(host: Host) -> Iterator[Found]:
    sysfs = Sysfs(host.at('/sys'))
    used = guests.disks(host)
    paths: dict[str, dict[Session, list[ScsiDevice]]] = {}
    for session in _of_ours(host, sysfs):
        for device in sysfs.devices(session):
            if device.name:
                paths.setdefault(sysfs.remembered_naa(device), {}).setdefault(
                    session, []).append(device)
    names = {host.at(p).resolve().name for p in used or ()}
    usage = Usage(sysfs, host.at('/proc'))
    for naa, found in paths.items():
        disks = sorted(str(d.name) for each in found.values() for d in each)
        over = sysfs.multipath_map(naa) if naa else None
        if names & {*disks, over} or usage.of_volume(naa, disks):
            continue
        what = f'{", ".join(f"/dev/{d}" for d in disks)} ({naa})'
        if used is None:
            yield findings.unknown(
                f'It cannot be known whether a guest uses {what}: libvirt '
                'does not answer.', f'{_START_LIBVIRT} && '
                + commands.as_root(host))
            continue
        yield _unused(host, what, [*disks, *([over] if over else [])],
                      leaving.disks(sysfs, over, found, _records_of(host)))
    yield from _missing(host, used or {})


def _unused(host: Host, what: str, devices: Sequence[str], remedy: str
            ) -> Found:
    """Judge a volume that libvirt has in no guest.

    :param devices: names of its disks, and of their map.
    """
    sysfs = Sysfs(host.at('/sys'))
    users = opened.users(host, {sysfs.number(d) for d in devices} - {''})
    if users is None:
        return findings.unknown(
            f'No guest of libvirt uses {what}. It cannot be known whether '
            'another program does.', commands.as_root(host))
    if users:
        return findings.unknown(
            f'No guest of libvirt uses {what}, but {", ".join(users)} has it '
            'open.', f'ls -l /proc/[0-9]*/fd 2> /dev/null | grep /dev/'
            f'{devices[-1]}')
    return findings.warning(
        f'No guest uses {what}, unless it is just being attached.', remedy)


def _missing(host: Host, used: Mapping[str, str]) -> Iterator[Found]:
    for path, guest in sorted(used.items()):
        if _OURS in path and not host.at(path).exists():
            yield findings.error(
                f'Guest {guest} uses {path}, which is gone.',
                f'openstack server reboot --hard "$(virsh domuuid {guest})"')


def _records(host: Host) -> Iterator[Found]:
    there = {(s.target, str(s.portal))
             for s in _of_ours(host, Sysfs(host.at('/sys')))}
    for target, portal in sorted(_recorded(host) - there):
        yield findings.warning(
            f'There is a node record of {target} at {portal}, but no '
            'session, unless one is just being made.',
            leaving.record(target, portal))


def _records_of(host: Host) -> leaving.Records:
    """Return the node records of ours, none if they cannot be read."""
    try:
        return frozenset(_recorded(host))
    except OSError:
        return frozenset()


def _recorded(host: Host) -> set[tuple[str, str]]:
    """Return target and portal of the node records of ours."""
    found = set()
    for base in node_record.NODES_DIRS:
        folder = host.at(str(base))
        if not folder.is_dir():
            continue
        for target in folder.iterdir():
            if not model.is_our_target(target.name):
                continue
            for entry in target.iterdir():
                match = re.fullmatch(r'([^,]+),(\d+)(,\d+)?', entry.name)
                if match:
                    found.add((target.name, str(model.Portal(
                        match[1], int(match[2])))))
    return found


def _of_ours(host: Host, sysfs: Sysfs) -> list[Session]:
    folder = host.at('/sys/class/iscsi_session')
    names = {(p / 'targetname').read_text().strip()
             for p in sorted(folder.glob('session*'))
             if (p / 'targetname').exists()}
    return [s for name in sorted(names) if model.is_our_target(name)
            for s in sysfs.sessions(name)]


CHECKS = (
    Check('iscsi-sessions', findings.COMPUTE,
          'Each session with our targets works and has a disk',
          'A session that lost its portal delays its disks; one without a '
          'disk was left behind.', _sessions),
    Check('guest-disks', findings.COMPUTE,
          'Guests use the disks of ours, and have theirs',
          'A disk that was left behind keeps its volume from being deleted, '
          'and its name may come up for another volume.', _disks),
    Check('node-records', findings.COMPUTE,
          'Each node record of ours belongs to a session',
          'A record that was left behind has the CHAP secret of this host in '
          'it.', _records),
)

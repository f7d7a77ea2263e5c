# SPDX-License-Identifier: Apache-2.0
"""Compare sessions, disks and node records of ours with what guests use.

A disk that nobody is known to use may be on its way to a guest. So nothing is
removed here, and a disk is called unused only if libvirt has answered.
"""

from collections.abc import Iterator, Mapping
import re

from mydriver import model
from mydriver.doctor import findings, guests
from mydriver.doctor.findings import Check, Found
from mydriver.doctor.host import Host
from mydriver.initiator.sysfs import Session, Sysfs
from mydriver.initiator.usage import Usage
from mydriver.privileged.initiator import node_record

#: Part of the names under which udev knows disks of the kernel target: type
#: and vendor of their NAA id (drivers/target/target_core_spc.c).
_OURS = '6001405'


def _sessions(host: Host) -> Iterator[Found]:
    sysfs = Sysfs(host.at('/sys'))
    for session in _of_ours(host, sysfs):
        if not sysfs.works(session):
            yield findings.warning(
                f'iSCSI {session} is not logged in.',
                f'Restore the network to {session.portal}, and run mydriver '
                'doctor storage on its host')
        elif not sysfs.devices(session):
            yield findings.warning(
                f'iSCSI {session} has no disk, unless one is just being '
                'attached.', f'iscsiadm -m session -r {session.sid} -u')


def _disks(host: Host) -> Iterator[Found]:
    sysfs = Sysfs(host.at('/sys'))
    used = guests.disks(host)
    paths: dict[str, list[str]] = {}
    for session in _of_ours(host, sysfs):
        for device in sysfs.devices(session):
            if device.name:
                paths.setdefault(sysfs.remembered_naa(device), []).append(
                    device.name)
    names = {host.at(p).resolve().name for p in used or ()}
    usage = Usage(sysfs, host.at('/proc'))
    for naa, disks in paths.items():
        over = sysfs.multipath_map(naa) if naa else None
        if names & {*disks, over} or usage.of_volume(naa, disks):
            continue
        what = f'{", ".join(f"/dev/{d}" for d in sorted(disks))} ({naa})'
        if used is None:
            yield findings.unknown(
                f'It cannot be known whether a guest uses {what}: libvirt '
                'does not answer.', 'Run the command as root, while libvirt '
                'runs.')
        else:
            yield findings.warning(
                f'No guest uses {what}, unless it is just being attached.',
                _removal(sysfs, over, disks))
    yield from _missing(host, used or {})


def _removal(sysfs: Sysfs, over: str | None, disks: list[str]) -> str:
    steps = [f'multipath -f {sysfs.dm_name(over) or over}'] if over else []
    steps += [f'blockdev --flushbufs /dev/{d} && echo 1 > '
              f'/sys/class/block/{d}/device/delete' for d in sorted(disks)]
    return ' && '.join(steps)


def _missing(host: Host, used: Mapping[str, str]) -> Iterator[Found]:
    for path, guest in sorted(used.items()):
        if _OURS in path and not host.at(path).exists():
            yield findings.error(
                f'Guest {guest} uses {path}, which is gone.',
                f'openstack server reboot --hard $(virsh domuuid {guest})')


def _records(host: Host) -> Iterator[Found]:
    there = {(s.target, str(s.portal))
             for s in _of_ours(host, Sysfs(host.at('/sys')))}
    for target, portal in sorted(_recorded(host) - there):
        yield findings.warning(
            f'There is a node record of {target} at {portal}, but no '
            'session, unless one is just being made.',
            f'iscsiadm -m node -T {target} -p {portal} -o delete')


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

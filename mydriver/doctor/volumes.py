# SPDX-License-Identifier: Apache-2.0
"""Compare sessions, disks and node records of ours with what guests use.

A disk that nobody is known to use may be on its way to a guest. So nothing is
removed here, and a disk is called unused only if libvirt has answered.
"""

from collections.abc import Iterator, Mapping, Sequence, Set
import re
import shlex

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
                f'{shlex.quote(str(session.portal))}')
        elif not sysfs.devices(session):
            yield findings.warning(
                f'iSCSI {session} has no disk, unless one is just being '
                'attached.', leaving.session(session, _records_of(host)))


def _disks(host: Host) -> Iterator[Found]:
    sysfs = Sysfs(host.at('/sys'))
    used = guests.uses(host)
    paths: dict[str, dict[Session, list[ScsiDevice]]] = {}
    for session in _of_ours(host, sysfs):
        for device in sysfs.devices(session):
            paths.setdefault(sysfs.remembered_naa(device), {}).setdefault(
                session, []).append(device)
    known = None if used is None else _of_guests(host, used)
    usage = Usage(sysfs, host.at('/proc'))
    for naa, found in paths.items():
        yield from _volume(host, naa, {
            session: named for session, devices in found.items()
            if (named := [d for d in devices if d.name])}, known, usage)
    # Once for each guest: if it runs, as it runs.
    wanted = {(u.path, u.guest): u for u in sorted(used or ())}
    for use in wanted.values():
        if _naa_in(use.path) and not host.at(use.path).exists():
            yield from _missing(host, use, paths)


def _of_guests(host: Host, used: Sequence[guests.Use]) -> set[str]:
    """Return the kernel's names and the NAA ids of what guests have.

    By its NAA id as well: the link of a path in use may be gone.
    """
    return {name for u in used for name in (
        host.at(u.path).resolve().name if u.path.startswith('/') else '',
        _naa_in(u.path)) if name}


def _volume(host: Host, naa: str, found: leaving.Paths, known: Set[str] | None,
            usage: Usage) -> Iterator[Found]:
    """Judge the disks of a volume.

    :param naa: its NAA id; empty for all disks whose volume is not known.
    :param known: names and NAA ids that guests have, None if that cannot be
        known.
    """
    sysfs = Sysfs(host.at('/sys'))
    disks = sorted(str(d.name) for each in found.values() for d in each)
    over = sysfs.multipath_map(naa) if naa else None
    if not disks or (known or set()) & {*disks, over, naa} or (
            usage.of_volume(naa, disks)):
        return
    what = f'{", ".join(f"/dev/{d}" for d in disks)} ({naa or "no NAA id"})'
    if known is None:
        # Files that are there but do not name all guests are not mended by
        # the start of a libvirt, which may be another one.
        start = ('' if host.at(guests.FOLDER).is_dir()
                 else f'{_START_LIBVIRT} && ')
        yield findings.unknown(
            f'It cannot be known whether a guest uses {what}: neither the '
            "files of libvirt nor virsh name all guests and their disks.",
            start + commands.as_root(host))
    elif not naa:
        yield findings.unknown(
            'It cannot be known whether a guest uses '
            f'{what}: the kernel does not know which volume it is.')
    else:
        yield _unused(host, what, [*disks, *([over] if over else [])],
                      leaving.disks(sysfs, naa, over, found,
                                    _records_of(host)))


def _unused(host: Host, what: str, devices: Sequence[str], remedy: str
            ) -> Found:
    """Judge a volume that libvirt has in no guest.

    :param devices: names of its disks, and of their map.
    """
    sysfs = Sysfs(host.at('/sys'))
    users = opened.users(host, {
        sysfs.number(part) for d in devices
        for part in (d, *sysfs.partitions(d))} - {''})
    if users is None:
        return findings.unknown(
            f'No guest of libvirt uses {what}. It cannot be known whether '
            'another program does.', commands.as_root(host))
    if users:
        return findings.unknown(
            f'No guest of libvirt uses {what}, but '
            f'{", ".join(map(commands.shown, users))} has it open.',
            'ls -l /proc/[0-9]*/fd 2> /dev/null | grep '
            f'/dev/{devices[-1]}')
    return findings.warning(
        f'No guest uses {what}, unless it is just being attached.', remedy)


def _missing(host: Host, use: guests.Use, paths: Mapping[
        str, Mapping[Session, Sequence[ScsiDevice]]]) -> Iterator[Found]:
    """Judge a volume of a guest whose path does not exist.

    :param paths: the disks that there are, by their NAA id.
    """
    sysfs = Sysfs(host.at('/sys'))
    naa = _naa_in(use.path)
    guest, path = commands.shown(use.guest), commands.shown(use.path)
    there = {d.name for each in paths.get(naa, {}).values() for d in each}
    there.add(sysfs.multipath_map(naa))
    if not use.runs:
        if there == {None}:
            yield findings.info(
                f'Guest {guest} has {path}, which is not there, but does not '
                'run with it. Nova attaches it when it starts the guest, and '
                'not when it resumes a suspended one.')
        return
    what = f'Guest {guest} uses {path}, which is gone'
    devices = sorted(filter(None, there))
    if devices:  # QEMU has it open, and needs no link any more
        yield findings.error(
            f'{what}, but its disk is there as '
            f'{", ".join(f"/dev/{d}" for d in devices)}.',
            'udevadm trigger --action=change '
            + ' '.join(f'/sys/class/block/{d}' for d in devices)
            + f' && udevadm settle && [ -e {shlex.quote(use.path)} ]')
    elif '' in paths or naa in paths:
        yield findings.unknown(
            f'{what}. It cannot be known whether its disk is there: the '
            'kernel does not say yet which volumes all disks are.')
    elif not (use.guest + use.path).isprintable():
        yield findings.error(f'{what}.', '')
    else:
        yield findings.error(
            f'{what}.',
            f'[ ! -e {shlex.quote(use.path)} ] && ! grep -qsx naa.{naa} '
            '/sys/class/block/sd*/device/wwid && openstack server reboot '
            f'--hard "$(virsh domuuid --domain {shlex.quote(use.guest)})"')


def _naa_in(path: str) -> str:
    """Return the NAA id of a volume of ours in a path, if it has one."""
    found = re.search(_OURS + '[0-9a-f]{25}', path)
    return found[0] if found else ''


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

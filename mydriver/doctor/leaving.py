# SPDX-License-Identifier: Apache-2.0
"""Commands that remove what was left behind on a compute host.

Time passes before the operator runs them. So each step looks once more
whether somebody has come to use the thing, and the next one is not done if one
fails.
"""

from collections.abc import Iterator, Mapping, Sequence

from mydriver.initiator.sysfs import ScsiDevice, Session, Sysfs

#: Disks by their sessions.
Paths = Mapping[Session, Sequence[ScsiDevice]]

#: Target and portal of each node record.
Records = frozenset[tuple[str, str]]


def disks(sysfs: Sysfs, over: str | None, paths: Paths, records: Records
          ) -> str:
    """Return what removes a volume, and the sessions that only it is on.

    :param over: the kernel's name of its map, if it has one.
    :param paths: its disks.
    """
    steps = []
    if over:  # refused while it is open
        steps.append(f'multipath -f {sysfs.dm_name(over) or over}')
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
    return f'iscsiadm -m node -T {target} -p {portal} -o delete'


def _disk(name: str) -> Iterator[str]:
    yield (f'[ -z "$(find /proc/[0-9]*/fd -lname /dev/{name} ! -path '
           '"/proc/$(pidof multipathd)/*" 2> /dev/null)" ]')
    yield f'blockdev --flushbufs /dev/{name}'
    yield f'echo 1 > /sys/class/block/{name}/device/delete'


def _session(found: Session, records: Records) -> Iterator[str]:
    yield (f'! ls -d /sys/class/iscsi_session/session{found.sid}/device/'
           'target*/*:*:*:* > /dev/null 2>&1')
    yield f'iscsiadm -m session -r {found.sid} -u'
    if (found.target, str(found.portal)) in records:
        yield record(found.target, str(found.portal))

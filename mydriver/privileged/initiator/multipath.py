# SPDX-License-Identifier: Apache-2.0
"""Privileged verbs for multipathd and the multipath maps of our volumes.

Maps are named by the NAA id of their volume, paths by the name of their disk.
"""

from pathlib import Path

from mydriver import exception, privileged, vpd
from mydriver.privileged import verbs
from mydriver.privileged.initiator import command, inquiry, owned
from mydriver.privileged.values import shown

# The list of volumes that multipathd takes as multipath, and the file that
# shows that it runs (multipath-tools, libmultipath/defaults.h).
_WWIDS = Path('/etc/multipath/wwids')
_MULTIPATHD_PID = Path('/run/multipathd.pid')


@privileged.initiator_context.entrypoint
@verbs.translating_os_errors('claim a volume for multipathd',
                             exception.InitiatorError)
def multipath_claim(naa: str) -> None:
    """Add a volume to those that multipathd takes as multipath.

    Needed with ``find_multipaths`` set to ``yes`` or ``strict``; before the
    first path comes up, so that multipathd takes it at once.

    :param naa: NAA id of the volume.
    """
    command.run('multipath', '-a', vpd.wwid(owned.volume(naa)))


@privileged.initiator_context.entrypoint
@verbs.translating_os_errors('take back a claim for multipathd',
                             exception.InitiatorError)
def multipath_unclaim(naa: str) -> None:
    """Take back :func:`multipath_claim`, or the list would only grow.

    multipathd adds each volume that it makes a map of. It is no error if the
    volume is not in the list, or if the host has no multipathd.

    :param naa: NAA id of the volume.
    """
    wwid = vpd.wwid(owned.volume(naa))
    try:
        there = f'/{wwid}/' in _WWIDS.read_text(errors='replace')
    except FileNotFoundError:
        there = _MULTIPATHD_PID.exists()    # its list may be elsewhere
    if there:
        command.run('multipath', '-w', wwid)


@privileged.initiator_context.entrypoint
@verbs.translating_os_errors('add a path to multipathd',
                             exception.InitiatorError)
def multipath_add_path(name: str) -> str:
    """Make multipathd look at a disk of ours that it passed over.

    :param name: such as ``sda``.
    :returns: its answer, such as ``ok`` or ``blacklisted``.
    :raises InitiatorError: if the disk is not ours.
    """
    if owned.disk(name, 'add a path to multipathd') is None:
        return 'there is no such disk'
    done = command.run('multipathd', 'add', 'path', name)
    answer = (done.stdout + done.stderr).split()
    return ' '.join(answer) or f'exit status {done.returncode}'


@privileged.initiator_context.entrypoint
@verbs.translating_os_errors('remove a path from multipathd',
                             exception.InitiatorError)
def multipath_del_path(name: str) -> None:
    """Make multipathd forget a disk of ours, or one that is gone.

    :param name: such as ``sda``.
    :raises InitiatorError: if the disk is not ours.
    """
    owned.disk(name, 'remove a path from multipathd')
    command.run('multipathd', 'del', 'path', name)


@privileged.initiator_context.entrypoint
@verbs.translating_os_errors('remove a multipath map',
                             exception.InitiatorError)
def multipath_remove_map(naa: str, force: bool) -> None:
    """Remove the multipath map of a volume; it may be gone already.

    :param naa: NAA id of the volume.
    :param force: make the map fail what it queues while it has no path.
    :raises InitiatorError: if the map stays, as while it is open.
    """
    dm = owned.map_name(owned.volume(naa))
    if not dm:
        return
    name = _map_name(dm)
    if force is True:
        owned.refuse_in_use(dm, f'remove multipath map {name}')
        command.run('multipathd', 'disablequeueing', 'map', name)
    done = command.run('multipath', '-f', name)
    if owned.map_name(naa):
        raise exception.InitiatorError(
            f'remove multipath map {name}', command.reason(done))


@privileged.initiator_context.entrypoint
@verbs.translating_os_errors('resize a multipath map',
                             exception.InitiatorError)
def multipath_resize_map(naa: str) -> None:
    """Make the multipath map of a volume as large as its paths.

    :param naa: NAA id of the volume.
    :raises InitiatorError: if there is no map, or multipathd refuses.
    """
    dm = owned.map_name(owned.volume(naa))
    what = f'resize the multipath map of {shown(naa)}'
    if not dm:
        raise exception.InitiatorError(what, 'there is none')
    done = command.run('multipathd', 'resize', 'map', _map_name(dm))
    if done.returncode or done.stdout.strip() != 'ok':
        raise exception.InitiatorError(what, command.reason(done))


def _map_name(dm: str) -> str:
    """Return the device-mapper name of a map."""
    return (inquiry.SYS / 'block' / dm / 'dm/name').read_text().strip()

# SPDX-License-Identifier: Apache-2.0
"""Privileged verbs for multipathd and the multipath maps of our volumes.

Maps are named by the NAA id of their volume, paths by the name of their disk.
"""

from pathlib import Path

from mydriver import exception, privileged
from mydriver.privileged import verbs
from mydriver.privileged.initiator import command, inquiry, owned

# Which volumes multipathd takes for multipath, and whether it runs
# (multipath-tools, libmultipath/defaults.h).
_WWIDS = Path('/etc/multipath/wwids')
_MULTIPATHD_PID = Path('/run/multipathd.pid')


@privileged.initiator_context.entrypoint
@verbs.telling('claim a volume for multipathd', exception.InitiatorError)
def multipath_claim(naa: str) -> None:
    """Tell multipathd that a volume is one of several paths.

    Needed where ``find_multipaths`` is ``yes`` or ``strict``; before the
    first path comes up, so that multipathd takes it at once.
    """
    command.run('multipath', '-a', _wwid(naa))


@privileged.initiator_context.entrypoint
@verbs.telling('take back a claim for multipathd', exception.InitiatorError)
def multipath_unclaim(naa: str) -> None:
    """Take back :func:`multipath_claim`, or the list grows for ever.

    Each map that multipathd makes is in the list as well. One that is not in
    there is no error, nor is a host without multipathd.
    """
    wwid = _wwid(naa)
    try:
        there = f'/{wwid}/' in _WWIDS.read_text(errors='replace')
    except FileNotFoundError:
        there = _MULTIPATHD_PID.exists()     # its list is somewhere else
    if there:
        command.run('multipath', '-w', wwid)


@privileged.initiator_context.entrypoint
@verbs.telling('add a path to multipathd', exception.InitiatorError)
def multipath_add_path(name: str) -> str:
    """Make multipathd look at a disk of ours that it passed over.

    :returns: what it said, such as ``ok`` or ``blacklisted``.
    :raises InitiatorError: when the disk is not ours.
    """
    what = 'add a path to multipathd'
    if owned.disk(name, what) is None:
        return 'there is no such disk'
    done = command.run('multipathd', 'add', 'path', name)
    said = (done.stdout + done.stderr).split()
    return ' '.join(said) or f'exit status {done.returncode}'


@privileged.initiator_context.entrypoint
@verbs.telling('take a path from multipathd', exception.InitiatorError)
def multipath_del_path(name: str) -> None:
    """Make multipathd let go of a disk of ours, or of one that is gone.

    :raises InitiatorError: when it is somebody else's.
    """
    owned.disk(name, 'take a path from multipathd')
    command.run('multipathd', 'del', 'path', name)


@privileged.initiator_context.entrypoint
@verbs.telling('remove a multipath map', exception.InitiatorError)
def multipath_remove_map(naa: str, force: bool) -> None:
    """Remove the multipath map of a volume; none there is no error.

    :param naa: NAA id of the volume.
    :param force: have the map fail what it queues for want of a path.
    :raises InitiatorError: when it stays, as while it is open.
    """
    dm = owned.map_name(owned.volume(naa))
    if not dm:
        return
    name = _map_name(dm)
    if force is True:
        owned.refuse_mounted(dm, f'remove multipath map {name}')
        command.run('multipathd', 'disablequeueing', 'map', name)
    done = command.run('multipath', '-f', name)
    if owned.map_name(naa):
        raise exception.InitiatorError(
            f'remove multipath map {name}', command.reason(done))


@privileged.initiator_context.entrypoint
@verbs.telling('resize a multipath map', exception.InitiatorError)
def multipath_resize_map(naa: str) -> None:
    """Make the multipath map of a volume as large as its paths.

    :raises InitiatorError: when multipathd refused.
    """
    dm = owned.map_name(owned.volume(naa))
    what = f'resize the multipath map of {naa}'
    if not dm:
        raise exception.InitiatorError(what, 'there is none')
    done = command.run('multipathd', 'resize', 'map', _map_name(dm))
    if done.returncode or done.stdout.strip() != 'ok':
        raise exception.InitiatorError(what, command.reason(done))


def _map_name(dm: str) -> str:
    """Return the device-mapper name of a map."""
    return (inquiry.SYS / 'block' / dm / 'dm/name').read_text().strip()


def _wwid(naa: str) -> str:
    """Return the name that udev and multipathd have for an NAA id."""
    return f'3{owned.volume(naa)}'

# SPDX-License-Identifier: Apache-2.0
"""Detach a volume from the compute host: the order of the steps."""

from collections.abc import Callable, Sequence
from concurrent import futures
import logging
import time

from mydriver import events, exception
from mydriver.connection.iscsi import Connection
from mydriver.initiator import sessions
from mydriver.initiator.devices import Found
from mydriver.initiator.host import Host, log_and_continue, naa_of
from mydriver.model import Iqn, Portal
from mydriver.waiting import wait_for

LOG = logging.getLogger(__name__)

#: How long a forced detach waits for a device to say which volume it is.
FORCED_ANSWER_TIMEOUT_S = 2
#: How long a forced detach waits for a map to go: before its paths are
#: removed, and again afterwards.
FORCED_REMOVAL_TIMEOUT_S = 5
#: How long others on this host may take to close the disk. What scans a disk
#: (udev, blkid, pvscan) opens it without a claim; a device on top of
#: it stays until somebody removes it.
USERS_TIMEOUT_S = 1


class Detacher:
    """Detaches volumes from this host.

    :param host: this host.
    """

    def __init__(self, host: Host) -> None:
        self._host = host

    def disconnect(self, connection: Connection, force: bool = False) -> None:
        """Detach a volume; it is fine if it is not attached.

        Only devices that came up as this volume are removed. A session ends
        with its last device.

        :param connection: how the volume was reached, with its NAA id.
        :param force: go on if cached data cannot be written to the volume, or
            if something on this host uses it.
        :raises DeviceInUse: names what else on this host uses the volume.
            Without ``force``, nothing was done.
        :raises MyDriverError: if a step failed. Without ``force``, nothing is
            removed if the flush or the removal of the map fails; all
            later steps are attempted even if one of them fails.
        """
        naa = naa_of(connection)
        began = time.monotonic()
        with self._host.locks.volume(naa):
            events.waited('lock')
            errors = self._disconnect(connection, naa, force)
        if errors:
            raise errors[0]
        LOG.info('Detached volume %s in %.3f s', connection.volume_id,
                 time.monotonic() - began)

    def _disconnect(self, connection: Connection, naa: str,
                    force: bool) -> list[Exception]:
        """Do the steps in order.

        :returns: the errors of steps after which the others were still done.
        """
        errors: list[Exception] = []

        def step(do: Callable[..., object], *args: object) -> None:
            try:
                do(*args)
            except exception.MyDriverError as e:
                LOG.warning('While detaching volume %s: %s',
                            connection.volume_id, e)
                errors.append(e)

        found = self._host.devices.of_volume(
            connection.paths, naa, strict=not force)
        with events.phase('users'):
            users = self._users(naa, found, force)
        with events.phase('flush'):
            answers = self._flush(naa, found, force)
        was_multipath = self._host.sysfs.multipath_map(naa) is not None
        if not force:
            self._host.multipath.remove(naa, not answers)
        elif not users:
            log_and_continue(self._host.multipath.remove, naa, True,
                             FORCED_REMOVAL_TIMEOUT_S)
        with events.phase('remove'):
            for f in found:
                step(self._host.devices.remove, f.device, f.naa)
        if users:
            errors.insert(0, users)
            # The map stays, and fails the users' commands from now on.
            log_and_continue(self._host.multipath.remove, naa, True, 0)
        else:
            # If forced, a map may be removable once its paths are gone.
            step(self._host.multipath.remove, naa, force, *(
                [FORCED_REMOVAL_TIMEOUT_S] if force else []))
        if was_multipath:
            step(self._host.multipath.forget, naa, [f.name for f in found])
        else:       # it may be claimed, although multipathd made no map
            log_and_continue(self._host.verbs.multipath_unclaim, naa)
        carried = {(Iqn(f.session.target), f.session.portal)
                   for f in found if f.session.portal}

        def release(session: tuple[Iqn, Portal]) -> None:
            # The detach does not fail if the logout fails from a session that
            # had no device of this volume.
            (step if session in carried else log_and_continue)(
                self._host.sessions.release, *session)

        ends = {*carried, *((p.target, p.portal) for p in connection.paths)}
        with (events.phase('logout'),
              futures.ThreadPoolExecutor(len(ends)) as pool):
            list(pool.map(release, sorted(ends)))
        return errors

    def _users(self, naa: str, found: Sequence[Found],
               force: bool) -> exception.DeviceInUse | None:
        """Look for what else on this host uses the volume.

        :returns: an error that names the users, with ``force``; None if there
            are none.
        :raises DeviceInUse: the same, without ``force``.
        """
        def free() -> bool:
            users[:] = self._host.usage.of_volume(
                naa, [f.name for f in found])
            # A map claims its paths itself, and stays while it is claimed.
            if not users and not self._host.sysfs.multipath_map(naa) and any(
                    self._host.verbs.is_claimed(f.device, f.naa)
                    for f in found):
                users.append('something that is not visible from here, such '
                             'as a mount in a container')
            return not users

        users: list[str] = []
        try:
            wait_for(free, f'the users of {naa} to release it',
                     USERS_TIMEOUT_S)
        except exception.WaitTimeout:
            error = exception.DeviceInUse(
                self._host.sysfs.multipath_map(naa) or found[0].name,
                ', '.join(users))
            if not force:
                raise error from None
            LOG.warning('Forced detach: %s', error)
            return error
        return None

    def _flush(self, naa: str, found: Sequence[Found],
                   force: bool) -> bool:
        """Flush the map, or each path if there is no map.

        :param force: do not wait for a session that is down, and only log if
            the flush fails.
        :returns: whether the volume is still mapped. If the target says that
            it is not, there is nothing to flush to.
        :raises NoAnswer: if no path could be asked, unless ``force``.
        :raises InitiatorError: if the flush failed, unless ``force``.
        """
        answering = self._answering(found, naa, force)
        if found and not answering:
            LOG.warning('Volume %s is not flushed: none of %s identifies '
                        'itself as the volume', naa,
                        ', '.join(str(f.device) for f in found))
        name = self._host.sysfs.multipath_map(naa)
        try:
            for disk in ([name] if name and answering
                         else [f.name for f in answering if f.name]):
                self._host.verbs.flush(disk)
        except exception.InitiatorError as e:
            if not force:
                raise
            LOG.warning('Cached data of volume %s is lost: %s', naa, e)
        return bool(answering)

    def _answering(self, found: Sequence[Found], naa: str,
                   force: bool) -> list[Found]:
        """Return the devices that identify themselves as the volume.

        :raises NoAnswer: if there is none, and one could not be asked, unless
            ``force``.
        """
        answering: list[Found] = []
        silent: list[exception.NoAnswer] = []
        for f in self._working(found, naa, force):
            try:
                if self._host.devices.ask(
                        f.device, FORCED_ANSWER_TIMEOUT_S if force
                        else None) == naa:
                    answering.append(f)
            except exception.NoAnswer as e:
                LOG.warning('While detaching volume %s: %s', naa, e)
                silent.append(e)
        if silent and not answering and not force:
            raise silent[0]
        return answering

    def _working(self, found: Sequence[Found], naa: str,
                 force: bool) -> list[Found]:
        """Return the devices whose session is up.

        :param force: do not wait until there is one.
        :raises WaitTimeout: if there are devices, but no session is up.
        """
        def look() -> list[Found]:
            return [f for f in found if self._host.sysfs.works(f.session)]

        if force or not found:
            return look()
        return wait_for(look, f'a session with {found[0].session.target} to '
                        f'recover, to flush volume {naa}',
                        sessions.RECOVERY_TIMEOUT_S)

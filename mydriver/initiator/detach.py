# SPDX-License-Identifier: Apache-2.0
"""Take a volume away from the compute host: the order of the steps."""

from collections.abc import Callable, Sequence
from concurrent import futures
import logging
import time

from mydriver import exception
from mydriver.connection.iscsi import Connection
from mydriver.initiator import sessions
from mydriver.initiator.devices import Found
from mydriver.initiator.host import Host, log_and_continue, naa_of
from mydriver.model import Iqn, Portal
from mydriver.waiting import wait_for

LOG = logging.getLogger(__name__)

#: Until a device says which volume it is, where a detach is forced.
FORCED_ANSWER_TIMEOUT_S = 2
#: Until a map goes, where a detach is forced: before its paths, and after.
FORCED_REMOVAL_TIMEOUT_S = 5
#: Until others on this host let go of the disk. What scans a disk (udev,
#: blkid, pvscan) opens it and claims nothing; a device that stands on it
#: stays until somebody takes it down.
USERS_TIMEOUT_S = 1


class Detacher:
    """Takes volumes away from this host.

    :param host: this host.
    """

    def __init__(self, host: Host) -> None:
        self._host = host

    def disconnect(self, connection: Connection, force: bool = False) -> None:
        """Take a volume away from this host; doing it again changes nothing.

        Only devices that came up as this volume are touched. A session goes
        with its last device.

        :param connection: how it was reached, with its NAA id.
        :param force: go on when the volume no longer takes what is cached,
            and when others on this host use it.
        :raises DeviceInUse: names who else on this host uses it. Without
            ``force``, nothing was done.
        :raises MyDriverError: when something could not be done. Without
            ``force``, nothing was removed if writing out or removing the map
            failed; all that follows is done in any case.
        """
        naa = naa_of(connection)
        began = time.monotonic()
        with self._host.locks.volume(naa):
            errors = self._disconnect(connection, naa, force)
        if errors:
            raise errors[0]
        LOG.info('Detached volume %s in %.3f s', connection.volume_id,
                 time.monotonic() - began)

    def _disconnect(self, connection: Connection, naa: str,
                    force: bool) -> list[Exception]:
        """Do the steps in order.

        :returns: errors that did not keep the other steps from being done.
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
        users = self._users(naa, found, force)
        answers = self._write_out(naa, found, force)
        was_multipath = self._host.sysfs.multipath_map(naa) is not None
        if not force:
            self._host.multipath.remove(naa, not answers)
        elif not users:
            log_and_continue(self._host.multipath.remove, naa, True,
                    FORCED_REMOVAL_TIMEOUT_S)
        for f in found:
            step(self._host.devices.remove, f.device, f.naa)
        if users:
            errors.insert(0, users)
            # It fails the users' commands from now on, and stays.
            log_and_continue(self._host.multipath.remove, naa, True, 0)
        else:
            # By force, a map may go once that its paths are gone.
            step(self._host.multipath.remove, naa, force, *(
                [FORCED_REMOVAL_TIMEOUT_S] if force else []))
        if was_multipath:
            step(self._host.multipath.let_go, naa, [f.name for f in found])
        else:       # multipathd may have made no map of what was claimed
            log_and_continue(self._host.verbs.multipath_unclaim, naa)
        carried = {(Iqn(f.session.target), f.session.portal)
                   for f in found if f.session.portal}

        def release(session: tuple[Iqn, Portal]) -> None:
            # A session that had no device of this volume is no part of this
            # detach: if its logout fails, the detach does not.
            (step if session in carried else log_and_continue)(
                self._host.sessions.release, *session)

        ends = {*carried, *((p.target, p.portal) for p in connection.paths)}
        with futures.ThreadPoolExecutor(len(ends)) as pool:
            list(pool.map(release, sorted(ends)))
        return errors

    def _users(self, naa: str, found: Sequence[Found],
               force: bool) -> exception.DeviceInUse | None:
        """Look for others on this host that use the volume.

        :raises DeviceInUse: names them, unless ``force``.
        :returns: the same, with ``force``.
        """
        def free() -> bool:
            users[:] = self._host.usage.of_volume(
                naa, [f.name for f in found])
            # A map claims its paths, and cannot be removed while claimed.
            if not users and not self._host.sysfs.multipath_map(naa) and any(
                    self._host.verbs.is_claimed(f.device, f.naa)
                    for f in found):
                users.append('somebody who cannot be seen from here, such as '
                             'a mount in a container')
            return not users

        users: list[str] = []
        try:
            wait_for(free, f'the users of {naa} to let go', USERS_TIMEOUT_S)
        except exception.WaitTimeout:
            error = exception.DeviceInUse(
                self._host.sysfs.multipath_map(naa) or found[0].name,
                ', '.join(users))
            if not force:
                raise error from None
            LOG.warning('Detaching by force: %s', error)
            return error
        return None

    def _write_out(self, naa: str, found: Sequence[Found],
                   force: bool) -> bool:
        """Flush the map, or each path where there is none.

        :param force: do not wait for a session that is down, and take it that
            writing out may fail.
        :returns: whether the volume is still there; where the target says
            that it is not, there is nothing to flush to.
        :raises NoAnswer: when no path could be asked, unless ``force``.
        :raises InitiatorError: when that failed, unless ``force``.
        """
        answering = self._answering(found, naa, force)
        if found and not answering:
            LOG.warning('Nothing is flushed to volume %s: none of %s says '
                        'that it is the volume', naa,
                        ', '.join(str(f.device) for f in found))
        name = self._host.sysfs.multipath_map(naa)
        try:
            for disk in ([name] if name and answering
                         else [f.name for f in answering if f.name]):
                self._host.verbs.flush(disk)
        except exception.InitiatorError as e:
            if not force:
                raise
            LOG.warning('What was cached of volume %s is lost: %s', naa, e)
        return bool(answering)

    def _answering(self, found: Sequence[Found], naa: str,
                   force: bool) -> list[Found]:
        """Return the devices that say that they are the volume.

        :raises NoAnswer: when there is none, and one could not be asked,
            unless ``force``.
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
        """Return the devices whose session works.

        :param force: do not wait until there is one.
        :raises WaitTimeout: when there are devices, but none works.
        """
        def look() -> list[Found]:
            return [f for f in found if self._host.sysfs.works(f.session)]

        if force or not found:
            return look()
        return wait_for(look, f'a session with {found[0].session.target} that '
                        f'works, to write out volume {naa}',
                        sessions.RECOVERY_TIMEOUT_S)

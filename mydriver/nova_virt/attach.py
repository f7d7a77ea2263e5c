# SPDX-License-Identifier: Apache-2.0
"""Attach, detach and extend on the compute host: the order of the steps."""

from collections.abc import Callable, Sequence
from concurrent import futures
import dataclasses
import logging
import os
from pathlib import Path
import time

from mydriver import exception
from mydriver.connection import Connection
from mydriver.model import Portal
from mydriver.nova_virt import sessions
from mydriver.nova_virt.devices import Devices, Found
from mydriver.nova_virt.initiator import Initiator
from mydriver.nova_virt.locks import SessionLocks
from mydriver.nova_virt.multipath import Multipath
from mydriver.nova_virt.sysfs import Sysfs
from mydriver.nova_virt.waiting import wait_for

LOG = logging.getLogger(__name__)

#: Until all paths show the size that the first one shows.
RESIZE_TIMEOUT_S = 30


@dataclasses.dataclass(frozen=True, slots=True)
class Attached:
    """A volume on this host.

    :param device: name of the block device, ``sda`` or ``dm-3``.
    :param naa: its NAA id, which was read from the device.
    :param multipath: whether it is a multipath map.
    """

    device: str
    naa: str
    multipath: bool


class Attacher:
    """Brings volumes to this host and away from it.

    :param initiator: what may change the host.
    :param lock_folder: where lock files are.
    :param sysfs: what shows the host.
    """

    def __init__(self, initiator: Initiator, lock_folder: Path,
                 sysfs: Sysfs | None = None) -> None:
        self._sysfs = sysfs or Sysfs()
        self._locks = SessionLocks(lock_folder)
        self._sessions = sessions.Sessions(initiator, self._sysfs, self._locks)
        self._devices = Devices(initiator, self._sysfs)
        self._multipath = Multipath(initiator, self._sysfs)
        self._initiator = initiator

    def multipath_runs(self) -> bool:
        """Tell whether multipathd answers."""
        return self._multipath.runs()

    # Attach

    def connect(self, connection: Connection, multipath: bool) -> Attached:
        """Bring a volume to this host; doing it again changes nothing.

        :param connection: how to reach it, with its NAA id.
        :param multipath: over all portals, as one device of multipathd.
        :returns: a device whose identity was seen.
        :raises LoginError: when no portal let us in.
        :raises WrongDevice: when the LUN is another volume.
        :raises DeviceNotFound: when no device came up.
        """
        naa = _naa(connection)
        began = time.monotonic()
        with self._locks.volume(naa):
            attached = (self._connect_all(connection, naa) if multipath
                        else self._connect_one(connection, naa))
        LOG.info('Attached volume %s as /dev/%s in %.3f s',
                 connection.volume_id, attached.device,
                 time.monotonic() - began)
        return attached

    def _connect_one(self, connection: Connection, naa: str) -> Attached:
        """Take the first portal that works."""
        errors: list[Exception] = []
        for portal in connection.portals:
            try:
                found = self._path(connection, naa, portal,
                                   sessions.RECOVERY_TIMEOUT_S)
                return Attached(found.name, naa, False)
            except exception.WrongDevice:
                raise       # the mapping is wrong, not the way to it
            except exception.MyDriverError as e:
                LOG.warning('No path to volume %s by %s: %s',
                            connection.volume_id, portal, e)
                errors.append(e)
        raise errors[0]

    def _connect_all(self, connection: Connection, naa: str) -> Attached:
        """Take all portals at once; one that works is enough."""
        self._multipath.claim(naa)
        found: list[Found] = []
        errors: list[Exception] = []
        with futures.ThreadPoolExecutor(len(connection.portals)) as pool:
            paths = {pool.submit(
                self._path, connection, naa, portal,
                sessions.PATH_RECOVERY_TIMEOUT_S): portal
                for portal in connection.portals}
            for path in futures.as_completed(paths):
                try:
                    found.append(path.result())
                except Exception as e:
                    LOG.warning('No path to volume %s by %s: %s',
                                connection.volume_id, paths[path], e)
                    errors.append(e)
        try:
            if not found:
                raise _worst(errors)
            return self._assembled(connection, naa, found)
        except BaseException:
            self._undo(connection, naa, found)
            raise

    def _assembled(self, connection: Connection, naa: str,
                   found: Sequence[Found]) -> Attached:
        """Return the map of the paths, or one of them if there is none.

        :raises WrongDevice: when a path in the map is another volume.
        """
        disks = sorted(f.name for f in found)
        name = self._multipath.assemble(naa, disks)
        if not name:
            LOG.warning('multipathd makes no device of %s for volume %s; it '
                        'has a single path now. See its configuration.',
                        disks, connection.volume_id)
            return Attached(disks[0], naa, False)
        known = {f.name for f in self._devices.of_volume(
            str(connection.target), naa)}
        if strange := self._sysfs.paths(name) - known:
            raise exception.WrongDevice(
                f'path {sorted(strange)} of {name}', naa, 'something else')
        return Attached(name, naa, True)

    def _path(self, connection: Connection, naa: str, portal: Portal,
              patience_s: float) -> Found:
        """Bring up one path.

        :param patience_s: see :meth:`.Sessions.used`.
        :raises MyDriverError: when there is none; nothing is left of it.
        """
        target = connection.target
        try:
            for last in (False, True):
                with self._sessions.used(target, portal, connection.chap,
                                         patience_s) as session:
                    try:
                        return self._devices.find(
                            session, connection.lun, naa)
                    except exception.MyDriverError:
                        # os-brick in another service may have ended it.
                        if last or self._sysfs.session(target, portal):
                            raise
                        LOG.warning('%s went away, trying again', session)
            raise AssertionError('not reached')
        except BaseException:
            self._quietly(self._sessions.release, target, portal)
            raise

    def _undo(self, connection: Connection, naa: str,
              found: Sequence[Found]) -> None:
        """Take back what this attach brought up, and nothing else."""
        if all(f.ours for f in found):
            self._quietly(self._multipath.remove, naa, True)
            self._quietly(self._multipath.let_go, naa,
                          [f.name for f in found])
        for f in found:
            if f.ours:
                self._quietly(self._devices.remove, f.device, naa)
        for portal in connection.portals:
            self._quietly(self._sessions.release, connection.target, portal)

    @staticmethod
    def _quietly(step: Callable[..., object], *args: object) -> None:
        """Do one step of a clean-up after an error, which stays the error."""
        try:
            step(*args)
        except Exception as e:
            LOG.warning('While cleaning up: %s', e)

    def check(self, connection: Connection, path: str) -> None:
        """Check that a device which somebody else attached is the volume.

        :param connection: how it was reached, with its NAA id.
        :param path: path of a disk or of a multipath map.
        :raises WrongDevice: when it is not.
        """
        naa = _naa(connection)
        name = os.path.basename(os.path.realpath(path))
        disks = {f.name for f in self._devices.of_volume(
            str(connection.target), naa)
            if self._initiator.read_naa(f.device) == naa}
        is_map = (name == self._sysfs.multipath_map(naa)
                  and self._sysfs.paths(name) <= disks)
        if name not in disks and not is_map:
            raise exception.WrongDevice(path, naa, 'something else')

    # Detach

    def disconnect(self, connection: Connection, force: bool = False) -> None:
        """Take a volume away from this host; doing it again changes nothing.

        Only devices that came up as this volume are touched. A session goes
        with its last device.

        :param connection: how it was reached, with its NAA id.
        :param force: go on when the volume no longer takes what is cached.
        :raises MyDriverError: when something could not be done. Without
            ``force``, nothing was removed if writing out or removing the map
            failed; all that follows is done in any case.
        """
        naa = _naa(connection)
        began = time.monotonic()
        with self._locks.volume(naa):
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

        found = self._devices.of_volume(str(connection.target), naa)
        answers = self._write_out(naa, found, force)
        was_multipath = self._sysfs.multipath_map(naa) is not None
        if force:
            self._quietly(self._multipath.remove, naa, True)
        else:
            self._multipath.remove(naa, not answers)
        for f in found:
            step(self._devices.remove, f.device, naa)
        # By force, a map may go once that its paths are gone.
        step(self._multipath.remove, naa, force)
        if was_multipath:
            step(self._multipath.let_go, naa, [f.name for f in found])
        portals = {*connection.portals, *(
            f.session.portal for f in found if f.session.portal)}
        with futures.ThreadPoolExecutor(len(portals)) as pool:
            list(pool.map(lambda portal: step(
                self._sessions.release, connection.target, portal),
                sorted(portals)))
        return errors

    def _write_out(self, naa: str, found: Sequence[Found],
                   force: bool) -> bool:
        """Flush the map, or each path where there is none.

        :param force: do not wait for a session that is down, and take it that
            writing out may fail.
        :returns: whether the volume still answers; without an answer there is
            nothing to flush to.
        :raises InitiatorError: when that failed, unless ``force``.
        """
        answering = [f for f in self._working(found, naa, force)
                     if self._initiator.read_naa(f.device) == naa]
        if found and not answering:
            LOG.warning('Volume %s no longer answers on %s: nothing is '
                        'flushed', naa, ', '.join(f.name for f in found))
        name = self._sysfs.multipath_map(naa)
        try:
            for disk in ([name] if name and answering
                         else [f.name for f in answering if f.name]):
                self._initiator.flush(disk)
        except exception.InitiatorError as e:
            if not force:
                raise
            LOG.warning('What was cached of volume %s is lost: %s', naa, e)
        return bool(answering)

    def _working(self, found: Sequence[Found], naa: str,
                 force: bool) -> list[Found]:
        """Return the devices whose session works.

        :param force: do not wait until there is one.
        :raises WaitTimeout: when there are devices, but none works.
        """
        def look() -> list[Found]:
            return [f for f in found if self._sysfs.works(f.session)]

        if force or not found:
            return look()
        return wait_for(look, f'a session with {found[0].session.target} that '
                        f'works, to write out volume {naa}',
                        sessions.RECOVERY_TIMEOUT_S)

    # Extend

    def extend(self, connection: Connection) -> int:
        """Have this host see the size that a volume has now.

        :param connection: how it is reached, with its NAA id.
        :returns: size of its device, in bytes.
        :raises DeviceNotFound: when it is not on this host.
        :raises InitiatorError: when a path is down, since a map must not grow
            beyond one of its paths.
        :raises WrongDevice: when a path is no longer the volume.
        """
        naa = _naa(connection)
        with self._locks.volume(naa):
            found = self._devices.of_volume(str(connection.target), naa)
            if not found:
                raise exception.DeviceNotFound(
                    str(connection.target), connection.lun,
                    'it is not attached to this host')
            for f in found:
                if not self._sysfs.works(f.session):
                    raise exception.InitiatorError(
                        f'extend volume {connection.volume_id}',
                        f'{f.session} is down')
                self._initiator.rescan(f.device, naa)
            size_bytes = self._common_size(found)
            name = self._multipath.resize(naa, size_bytes) or found[0].name
        LOG.info('Volume %s has %d bytes on /dev/%s', connection.volume_id,
                 size_bytes, name)
        return size_bytes

    def _common_size(self, found: Sequence[Found]) -> int:
        """Wait until all paths have one size, and return it in bytes."""
        def look() -> int | None:
            sizes = {self._sysfs.size_bytes(f.name) for f in found}
            return sizes.pop() if len(sizes) == 1 else None

        names = ', '.join(sorted(f.name for f in found))
        return wait_for(look, f'{names} to have one size', RESIZE_TIMEOUT_S)


def _naa(connection: Connection) -> str:
    if not connection.wwn:
        raise exception.InvalidConnectionData('the NAA id is missing')
    return connection.wwn


def _worst(errors: Sequence[Exception]) -> Exception:
    """Return the error to tell: a wrong volume before a path that is down."""
    for error in errors:
        if isinstance(error, exception.WrongDevice):
            return error
    return errors[0]

# SPDX-License-Identifier: Apache-2.0
"""Attach a volume to the compute host: the order of the steps."""

from collections.abc import Sequence
from concurrent import futures
import contextvars
import dataclasses
import logging
import os
import time

from mydriver import events, exception
from mydriver.connection.iscsi import Connection, Path
from mydriver.initiator import sessions
from mydriver.initiator.devices import Found
from mydriver.initiator.host import Host, log_and_continue, naa_of
from mydriver.model import Iqn

LOG = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True, slots=True)
class Attached:
    """A volume that is attached to this host.

    :param device: name of the block device, ``sda`` or ``dm-3``.
    :param naa: its NAA id, as read from the device.
    :param multipath: whether the device is a multipath map.
    """

    device: str
    naa: str
    multipath: bool


class Attacher:
    """Attaches volumes to this host.

    :param host: this host.
    """

    def __init__(self, host: Host) -> None:
        self._host = host

    def connect(self, connection: Connection, multipath: bool) -> Attached:
        """Attach a volume, unless it is attached already.

        :param connection: how to reach it, with its NAA id.
        :param multipath: use all paths, as one multipath map.
        :returns: a device whose identity was verified.
        :raises LoginError: if no portal accepts a login.
        :raises WrongDevice: if the LUN is another volume.
        :raises DeviceNotFound: if no device comes up.
        """
        naa = naa_of(connection)
        began = time.monotonic()
        with self._host.locks.volume(naa):
            events.waited('lock')
            attached = (self._connect_all(connection, naa) if multipath
                        else self._connect_one(connection, naa))
        LOG.info('Attached volume %s as /dev/%s in %.3f s',
                 connection.volume_id, attached.device,
                 time.monotonic() - began)
        return attached

    def _connect_one(self, connection: Connection, naa: str) -> Attached:
        """Bring up the first path that works.

        While other paths remain, none gets long to respond. A path whose
        session is still recovering is tried again at the end, for longer.
        """
        patient_s = sessions.RECOVERY_TIMEOUT_S
        paths = self._host.sessions.in_order(connection.paths)
        short_s = (patient_s if len(paths) == 1
                   else sessions.PATH_RECOVERY_TIMEOUT_S)
        errors: list[Exception] = []
        # If a LUN leads to another volume, its mapping is wrong, so other
        # portals of its target cannot help. Another target may.
        wrong: set[tuple[Iqn, int]] = set()
        todo = [(path, short_s) for path in paths]
        for path, patience_s in todo:
            if (path.target, path.lun) in wrong:
                continue
            try:
                found = self._path(connection, naa, path, patience_s)
                return Attached(found.name, naa, False)
            except exception.MyDriverError as e:
                LOG.warning('No path to volume %s over %s: %s',
                            connection.volume_id, path, e)
                errors.append(e)
                if isinstance(e, exception.WrongDevice):
                    wrong.add((path.target, path.lun))
                if (isinstance(e, exception.LoginError)
                        and patience_s < patient_s
                        and self._host.sysfs.session(
                            path.target, path.portal)):
                    todo.append((path, patient_s))
        raise _worst(errors)

    def _connect_all(self, connection: Connection, naa: str) -> Attached:
        """Bring up all paths at once; one that works is enough."""
        self._host.multipath.claim(naa)
        found: list[Found] = []
        errors: list[Exception] = []
        with futures.ThreadPoolExecutor(len(connection.paths)) as pool:
            paths = {pool.submit(
                contextvars.copy_context().run, self._path, connection, naa,
                path, sessions.PATH_RECOVERY_TIMEOUT_S): path
                for path in connection.paths}
            for done in futures.as_completed(paths):
                try:
                    found.append(done.result())
                except Exception as e:
                    LOG.warning('No path to volume %s over %s: %s',
                                connection.volume_id, paths[done], e)
                    errors.append(e)
        try:
            if not found:
                raise _worst(errors)
            with events.phase('multipath'):
                return self._assemble(connection, naa, found)
        except BaseException:
            self._undo(connection, naa, found)
            raise

    def _assemble(self, connection: Connection, naa: str,
                   found: Sequence[Found]) -> Attached:
        """Return the map of the paths; one path if multipathd makes no map.

        :raises WrongDevice: if a path of the map is another volume.
        """
        disks = sorted(f.name for f in found)
        for f in self._host.devices.of_volume(connection.paths, naa):
            # A path over a portal that is no longer in use; it is still part
            # of the map.
            if f.name not in disks and self._host.sysfs.works(f.session):
                log_and_continue(self._host.verbs.rescan, f.device, naa)
        name = self._host.multipath.assemble(naa, disks)
        if not name:
            LOG.warning('multipathd makes no map of %s for volume %s, which '
                        'has a single path now. Check the configuration of '
                        'multipathd.', disks, connection.volume_id)
            return Attached(disks[0], naa, False)
        known = {f.name for f in self._host.devices.of_volume(
            connection.paths, naa)}
        if foreign := self._host.sysfs.paths(name) - known:
            raise exception.WrongDevice(
                f'path {sorted(foreign)} of {name}', naa, 'something else')
        return Attached(name, naa, True)

    def _path(self, connection: Connection, naa: str, path: Path,
              patience_s: float) -> Found:
        """Bring up one path.

        :param patience_s: see :meth:`.Sessions.used`.
        :raises MyDriverError: if it does not come up; nothing is left of it.
        """
        try:
            for last in (False, True):
                with self._host.sessions.used(
                        path.target, path.portal, connection.chap,
                        patience_s) as session:
                    try:
                        return self._host.devices.find(
                            session, path.lun, naa)
                    except exception.MyDriverError:
                        # os-brick in another service may have ended it.
                        if last or self._host.sysfs.session(
                                path.target, path.portal):
                            raise
                        LOG.warning('%s ended, trying again', session)
            raise AssertionError('not reached')
        except BaseException:
            log_and_continue(self._host.sessions.release, path.target,
                             path.portal)
            raise

    def _undo(self, connection: Connection, naa: str,
              found: Sequence[Found]) -> None:
        """Remove what this attach brought up, and nothing else."""
        if all(f.ours for f in found):
            log_and_continue(self._host.multipath.remove, naa, True)
            log_and_continue(self._host.multipath.forget, naa,
                             [f.name for f in found])
        for f in found:
            if f.ours:
                log_and_continue(self._host.devices.remove, f.device, naa)
        for path in connection.paths:
            log_and_continue(self._host.sessions.release, path.target,
                             path.portal)

    def check(self, connection: Connection, path: str) -> None:
        """Verify that a device which os-brick attached is the volume.

        :param connection: how the volume was reached, with its NAA id.
        :param path: path of a disk or of a multipath map.
        :raises WrongDevice: if it is not the volume.
        """
        naa = naa_of(connection)
        name = os.path.basename(os.path.realpath(path))
        disks = {f.name for f in self._host.devices.of_volume(
            connection.paths, naa)
            if self._host.devices.ask(f.device) == naa}
        is_map = (name == self._host.sysfs.multipath_map(naa)
                  and self._host.sysfs.paths(name) <= disks)
        if name not in disks and not is_map:
            raise exception.WrongDevice(path, naa, 'something else')


def _worst(errors: Sequence[Exception]) -> Exception:
    """Return the error to raise: a wrong volume before a path that is down."""
    for error in errors:
        if isinstance(error, exception.WrongDevice):
            return error
    return errors[0]

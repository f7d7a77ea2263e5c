# SPDX-License-Identifier: Apache-2.0
"""What sysfs shows of iSCSI sessions, SCSI devices and multipath maps.

Read-only and without privileges. Objects may vanish while they are read; then
they count as absent. An object that cannot be read is an error: a process that
ran out of file descriptors has not lost its disks.
"""

from collections.abc import Iterator
import dataclasses
import errno
from pathlib import Path
import re

from mydriver import exception, model, vpd

_SESSION = re.compile(r'session(\d+)\Z')
_HOST = re.compile(r'host(\d+)\Z')
_HCTL = re.compile(r'(\d+):(\d+):(\d+):(\d+)\Z')
# Unit of ``size`` in sysfs, whatever the device's block size is.
_SECTOR_BYTES = 512

#: State of a session that carries commands; the others are FAILED and FREE
#: (drivers/scsi/scsi_transport_iscsi.c, iscsi_session_state_names).
LOGGED_IN = 'LOGGED_IN'

# Errors that mean that an object is gone (fs/kernfs/file.c), that a device has
# no capacity, or that a session has no connection.
_GONE = (errno.ENOENT, errno.ENOTDIR, errno.ENODEV, errno.ENXIO,
         errno.EINVAL, errno.ENOTCONN)

#: A session has one SCSI channel (drivers/scsi/scsi_transport_iscsi.c,
#: iscsi_user_scan_session).
CHANNEL = 0


@dataclasses.dataclass(frozen=True, slots=True)
class Session:
    """An iSCSI session of this host.

    :param sid: its number.
    :param target: IQN of the target.
    :param portal: the configured portal, before any redirection; None if it
        is not an IP address.
    :param host: number of the SCSI host.
    :param target_id: SCSI target number of the session on that host.
    """

    sid: int
    target: str
    portal: model.Portal | None
    host: int
    target_id: int

    def __str__(self) -> str:
        return f'session {self.sid} with {self.target} at {self.portal}'


@dataclasses.dataclass(frozen=True, order=True, slots=True)
class ScsiDevice:
    """A SCSI device below a session.

    :param hctl: host, channel, target and LUN.
    :param name: of the block device, such as ``sda``; None as long as there
        is none.
    """

    hctl: tuple[int, int, int, int]
    name: str | None = None

    @property
    def lun(self) -> int:
        """The LUN."""
        return self.hctl[3]

    def __str__(self) -> str:
        hctl = ':'.join(str(n) for n in self.hctl)
        return f'/dev/{self.name}' if self.name else f'SCSI device {hctl}'


class Sysfs:
    """Reads sysfs.

    :param root: where sysfs is mounted.
    """

    def __init__(self, root: Path = Path('/sys')) -> None:
        self._root = root

    # Sessions

    def sessions(self, target: model.Iqn | str) -> list[Session]:
        """Return the sessions with a target, oldest first.

        :param target: its IQN.
        """
        found = (self._session(folder) for folder in
                 _children(self._root / 'class/iscsi_session', _SESSION))
        return sorted((s for s in found if s and s.target == str(target)),
                      key=lambda s: s.sid)

    def session(self, target: model.Iqn | str,
                portal: model.Portal) -> Session | None:
        """Return the session with a target at a portal, if there is one."""
        for session in self.sessions(target):
            if session.portal == portal:
                return session
        return None

    def works(self, session: Session) -> bool:
        """Tell whether a session carries commands now."""
        return _text(self._root / 'class/iscsi_session'
                     / f'session{session.sid}' / 'state') == LOGGED_IN

    def _session(self, folder: Path) -> Session | None:
        connection = (self._root / 'class/iscsi_connection'
                      / f'connection{folder.name[len("session"):]}:0')
        try:
            host = _HOST.match(_real(folder / 'device').parent.name)
            if not host:
                return None
            return Session(
                sid=int(folder.name[len('session'):]),
                target=_text(folder / 'targetname'),
                portal=_portal(_text(connection / 'persistent_address'),
                               _text(connection / 'persistent_port')),
                host=int(host[1]),
                target_id=int(_text(folder / 'target_id')))
        except ValueError:
            return None

    # SCSI devices

    def devices(self, session: Session) -> list[ScsiDevice]:
        """Return the SCSI devices of a session, lowest LUN first."""
        return sorted(
            ScsiDevice(_numbers(folder.name), self._block_name(folder))
            for folder in _children(self._target(session), _HCTL))

    def device(self, session: Session, lun: int) -> ScsiDevice | None:
        """Return the SCSI device of a LUN on a session, if there is one."""
        hctl = (session.host, CHANNEL, session.target_id, lun)
        folder = self._target(session) / ':'.join(str(n) for n in hctl)
        if not folder.is_dir():
            return None
        return ScsiDevice(hctl, self._block_name(folder))

    def _target(self, session: Session) -> Path:
        """Return the directory that holds a session's SCSI devices."""
        return (self._root / 'class/iscsi_session' / f'session{session.sid}'
                / 'device'
                / f'target{session.host}:{CHANNEL}:{session.target_id}')

    def exists(self, device: ScsiDevice) -> bool:
        """Tell whether a SCSI device is still there."""
        return self._scsi(device).exists()

    def remembered_naa(self, device: ScsiDevice) -> str:
        """Return the NAA id that the kernel read when it found the device.

        :returns: hex digits; empty if the kernel has none.
        """
        return vpd.naa_of_page(_bytes(self._scsi(device) / 'vpd_pg83'))

    def _scsi(self, device: ScsiDevice) -> Path:
        return (self._root / 'bus/scsi/devices'
                / ':'.join(str(n) for n in device.hctl))

    @staticmethod
    def _block_name(folder: Path) -> str | None:
        names = [p.name for p in _children(folder / 'block', re.compile('sd'))]
        return names[0] if names else None

    # Block devices

    def size_bytes(self, name: str) -> int:
        """Return the size of a block device; 0 if there is none."""
        return _SECTOR_BYTES * int(
            _text(self._root / 'class/block' / name / 'size') or 0)

    def is_read_only(self, name: str) -> bool:
        """Tell whether a block device is read-only."""
        return _text(self._root / 'class/block' / name / 'ro') == '1'

    def number(self, name: str) -> str:
        """Return ``MAJOR:MINOR`` of a device; empty if there is none."""
        return _text(self._root / 'class/block' / name / 'dev')

    def partitions(self, name: str) -> list[str]:
        """Return the names of the kernel's partitions of a disk."""
        return [p.name for p in _children(
            self._root / 'class/block' / name, re.compile(re.escape(name)))
            if (p / 'partition').exists()]

    def holders(self, name: str) -> list[str]:
        """Return the names of the block devices on top of a device."""
        return [p.name for p in _children(
            self._root / 'class/block' / name / 'holders', re.compile(''))]

    def dm_name(self, name: str) -> str:
        """Return the device-mapper name of a device; empty if it has none."""
        return _text(self._root / 'class/block' / name / 'dm/name')

    def is_of_map(self, name: str, naa: str) -> bool:
        """Tell whether a device is a volume's map or a partition of it.

        kpartx gives partitions of a map the UUID ``partN-`` and the map's.
        """
        uuid = _text(self._root / 'class/block' / name / 'dm/uuid')
        return bool(re.fullmatch(
            r'(part\d+-)?' + re.escape(vpd.map_uuid(naa)), uuid))

    def multipath_map(self, naa: str) -> str | None:
        """Return the name (``dm-3``) of a volume's multipath map.

        :param naa: NAA id of the volume; see :func:`mydriver.vpd.map_uuid`.
        """
        for dm in _children(self._root / 'block', re.compile(r'dm-\d+\Z')):
            if _text(dm / 'dm/uuid') == vpd.map_uuid(naa):
                return dm.name
        return None

    def is_live(self, dm: str) -> bool:
        """Tell whether a map has a table and is not suspended."""
        suspended = _text(self._root / 'block' / dm / 'dm/suspended')
        return suspended == '0' and self.size_bytes(dm) > 0

    def paths(self, dm: str) -> set[str]:
        """Return the names of the disks that are paths of a map."""
        return {p.name for p in _children(
            self._root / 'block' / dm / 'slaves', re.compile(''))}


def _children(folder: Path, pattern: re.Pattern[str]) -> Iterator[Path]:
    """Yield the entries of a directory whose names match; none if it is gone.

    :raises InitiatorError: if it cannot be read.
    """
    try:
        entries = sorted(folder.iterdir())
    except OSError as e:
        _unless_gone(e)
        return
    for entry in entries:
        if pattern.match(entry.name):
            yield entry


def _real(link: Path) -> Path:
    """Return where a link leads; the link itself if it is gone.

    Path.resolve() raises an error if a link disappears while it is followed.

    :raises InitiatorError: if it cannot be read.
    """
    try:
        return link.resolve()
    except OSError as e:
        _unless_gone(e)
        return link


def _bytes(file: Path) -> bytes:
    """Return the contents of a file; nothing if it is gone.

    :raises InitiatorError: if it cannot be read.
    """
    try:
        return file.read_bytes()
    except OSError as e:
        _unless_gone(e)
        return b''


def _text(file: Path) -> str:
    return _bytes(file).decode(errors='replace').strip()


def _unless_gone(e: OSError) -> None:
    if e.errno not in _GONE:
        raise exception.InitiatorError(
            f'read {e.filename}', e.strerror or str(e)) from e


def _numbers(name: str) -> tuple[int, int, int, int]:
    host, channel, target, lun = (int(n) for n in name.split(':'))
    return host, channel, target, lun


def _portal(address: str, port: str) -> model.Portal | None:
    try:
        return model.Portal(address, int(port))
    except (exception.InvalidPortal, ValueError):
        return None

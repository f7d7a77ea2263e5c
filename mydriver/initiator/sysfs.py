# SPDX-License-Identifier: Apache-2.0
"""What the kernel shows of iSCSI sessions, SCSI devices and multipath maps.

Reading only, and without privileges. Things come and go while they are looked
at: what vanished halfway is treated as not there. What could not be looked at
is an error: a host that ran out of file descriptors has not lost its disks.
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
_SECTOR_BYTES = 512      # of sysfs's ``size``, whatever the device has

#: State of a session over which commands can pass; else FAILED or FREE
#: (drivers/scsi/scsi_transport_iscsi.c, iscsi_session_state_names).
LOGGED_IN = 'LOGGED_IN'

# How the kernel says that something went away (fs/kernfs/file.c); also what a
# device without capacity or a session without a connection says of itself.
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
    :param portal: the portal that was asked for, before any redirection; None
        where it is not an IP address.
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
    :param name: of the block device, such as ``sda``; None while there is
        none yet.
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
    """The kernel's view, below ``root``.

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
        """Return the session with a target at a portal, None without one."""
        for session in self.sessions(target):
            if session.portal == portal:
                return session
        return None

    def works(self, session: Session) -> bool:
        """Tell whether commands can pass over a session now."""
        return _text(self._root / 'class/iscsi_session'
                     / f'session{session.sid}' / 'state') == LOGGED_IN

    def _session(self, folder: Path) -> Session | None:
        connection = (self._root / 'class/iscsi_connection'
                      / f'connection{folder.name[len("session"):]}:0')
        try:
            host = _HOST.match((folder / 'device').resolve().parent.name)
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
        """Return the SCSI device with a LUN on a session, None without one."""
        hctl = (session.host, CHANNEL, session.target_id, lun)
        folder = self._target(session) / ':'.join(str(n) for n in hctl)
        if not folder.is_dir():
            return None
        return ScsiDevice(hctl, self._block_name(folder))

    def _target(self, session: Session) -> Path:
        """Return the folder that holds a session's SCSI devices."""
        return (self._root / 'class/iscsi_session' / f'session{session.sid}'
                / 'device'
                / f'target{session.host}:{CHANNEL}:{session.target_id}')

    def exists(self, device: ScsiDevice) -> bool:
        """Tell whether a SCSI device is still there."""
        return self._scsi(device).exists()

    def remembered_naa(self, device: ScsiDevice) -> str:
        """Return the NAA id that the kernel read when it found the device.

        :returns: hex digits; empty where it has none.
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
        """Return the size of a block device, 0 where there is none."""
        return _SECTOR_BYTES * int(
            _text(self._root / 'class/block' / name / 'size') or 0)

    def is_read_only(self, name: str) -> bool:
        """Tell whether the kernel takes no writes for a block device."""
        return _text(self._root / 'class/block' / name / 'ro') == '1'

    def number(self, name: str) -> str:
        """Return major and minor, ``MAJOR:MINOR``; empty without a device."""
        return _text(self._root / 'class/block' / name / 'dev')

    def partitions(self, name: str) -> list[str]:
        """Return the names of the kernel's partitions of a disk."""
        return [p.name for p in _children(
            self._root / 'class/block' / name, re.compile(re.escape(name)))
            if (p / 'partition').exists()]

    def holders(self, name: str) -> list[str]:
        """Return the names of the block devices that stand on a device."""
        return [p.name for p in _children(
            self._root / 'class/block' / name / 'holders', re.compile(''))]

    def dm_name(self, name: str) -> str:
        """Return device-mapper's name of a device; empty for another's."""
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

        :param naa: NAA id of the volume; device-mapper's UUID of the map is
            ``mpath-3`` and that id (libmultipath/devmapper.h).
        """
        for dm in _children(self._root / 'block', re.compile(r'dm-\d+\Z')):
            if _text(dm / 'dm/uuid') == vpd.map_uuid(naa):
                return dm.name
        return None

    def is_live(self, dm: str) -> bool:
        """Tell whether a map has a table and lets commands through."""
        suspended = _text(self._root / 'block' / dm / 'dm/suspended')
        return suspended == '0' and self.size_bytes(dm) > 0

    def paths(self, dm: str) -> set[str]:
        """Return the names of the disks that a map stands on."""
        return {p.name for p in _children(
            self._root / 'block' / dm / 'slaves', re.compile(''))}


def _children(folder: Path, pattern: re.Pattern[str]) -> Iterator[Path]:
    """Yield the entries of a folder whose names match, none if it is gone.

    :raises InitiatorError: when it cannot be looked at.
    """
    try:
        entries = sorted(folder.iterdir())
    except OSError as e:
        _unless_gone(e)
        return
    for entry in entries:
        if pattern.match(entry.name):
            yield entry


def _bytes(file: Path) -> bytes:
    """Return what is in a file, nothing if it is gone.

    :raises InitiatorError: when it cannot be read.
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
            f'look at {e.filename}', e.strerror or str(e)) from e


def _numbers(name: str) -> tuple[int, int, int, int]:
    host, channel, target, lun = (int(n) for n in name.split(':'))
    return host, channel, target, lun


def _portal(address: str, port: str) -> model.Portal | None:
    try:
        return model.Portal(address, int(port))
    except (exception.InvalidPortal, ValueError):
        return None

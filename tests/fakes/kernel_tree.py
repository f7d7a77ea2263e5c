# SPDX-License-Identifier: Apache-2.0
"""A folder of files like those of the kernel target in configfs.

What the kernel writes, in its own form: drivers/target/target_core_stat.c,
drivers/target/iscsi/iscsi_target_stat.c, iscsi_target_configfs.c.
"""

import os
from pathlib import Path
import shutil

from mydriver.target import statistics

#: What the kernel writes of an initiator that is not logged in.
NO_SESSION = 'No active iSCSI Session for Initiator Endpoint: {initiator}\n'

SESSION = """\
InitiatorName: {initiator}
InitiatorAlias: {alias}
LIO Session ID: {sid}   ISID: 0x00 02 3d 00 00 0{sid}  TSIH: {sid}  \
SessionType: Normal
Session State: TARG_SESS_STATE_LOGGED_IN
---------------------[iSCSI Session Values]-----------------------
  CmdSN/WR  :  CmdSN/WC  :  ExpCmdSN  :  MaxCmdSN  :     ITT    :     TTT
 0x00000040   0x{window:08x}   0x000000ff   0x0000013e   0x00000000   \
0x0000a1b2
----------------------[iSCSI Connections]-------------------------
CID: 0  Connection State: TARG_CONN_STATE_LOGGED_IN
   Address {address} TCP  StatSN: 0x0b50d4f2
"""


class Tree:
    """A copy of the target's directory, and of the block layer's counters.

    :param root: an empty directory.
    """

    def __init__(self, root: Path) -> None:
        self.root = root / 'target'
        self.disks = root / 'diskstats'
        self._disks: dict[tuple[int, int], str] = {}
        (self.root / 'iscsi').mkdir(parents=True)
        (self.root / 'core').mkdir()
        self.disks.touch()

    def statistics(self) -> statistics.Statistics:
        """Return a reader of it."""
        return statistics.Statistics(self.root, self.disks)

    def target(self, iqn: str, *, sessions: int = 0, accepts: int = 0,
               fails: int = 0, timeouts: int = 0) -> None:
        """Make a target that listens nowhere."""
        tpg = self.tpg(iqn)
        for name in ('lun', 'acls', 'np'):
            (tpg / name).mkdir(parents=True, exist_ok=True)
        self.write(tpg / 'enable', 1)
        its = tpg.parent / 'fabric_statistics'
        for name, value in (
                ('iscsi_instance/sessions', sessions),
                ('iscsi_login_stats/accepts', accepts),
                ('iscsi_tgt_attr/login_fails', fails),
                ('iscsi_sess_err/digest_errors', 0),
                ('iscsi_sess_err/cxn_errors', timeouts),
                ('iscsi_sess_err/format_errors', 0)):
            self.write(its / name, value)

    def export(self, iqn: str, lun: int, backend: str, volume_id: str, *,
               device: tuple[int, int] | None = None,
               io: tuple[int, int, int] = (0, 0, 0)) -> Path:
        """Make a LUN and its backstore.

        :param device: number of the block device, None for a file.
        :param io: commands, and MiB read and written.
        :returns: the LUN's directory.
        """
        kind = 'iblock' if device else 'fileio'
        store = (self.root / 'core' / f'{kind}_{lun}'
                 / f'mydriver-{backend}-{volume_id}')
        self.write(store / 'wwn/vpd_unit_serial',
                   f'T10 VPD Unit Serial Number: {volume_id}')
        self.write(store / 'udev_path', f'/dev/disks/volume-{volume_id}')
        self.write(store / 'info', (
            'Status: ACTIVATED  Max Queue Depth: 128  SectorSize: 512\n'
            f'        iBlock device: dm-{lun}  UDEV PATH: /dev/x  readonly: 0'
            f'\n        Major: {device[0]} Minor: {device[1]}  CLAIMED: IBLOCK'
            if device else
            'Status: ACTIVATED  Max Queue Depth: 128  SectorSize: 512\n'
            f'        TCM FILEIO ID: 0        File: /s/volume-{volume_id}  '
            'Size: 1073741824  Mode: Buffered-WCE Async: 0'))
        path = self.tpg(iqn) / 'lun' / f'lun_{lun}'
        path.mkdir()
        (path / 'mydriver').symlink_to(os.path.relpath(store, path))
        self.count(path / 'statistics/scsi_tgt_port', 'in_cmds', io)
        if device:
            self.disk(device)
        return path

    def disk(self, device: tuple[int, int], *, read_sectors: int = 0,
             written_sectors: int = 0, in_flight: int = 0) -> None:
        """Set the counters of a block device."""
        self._disks[device] = (
            f'{device[0]:4} {device[1]:7} dm-{device[1]} 1 0 {read_sectors} 5 '
            f'2 0 {written_sectors} 7 {in_flight} 12 12 0 0 0 0 0 0\n')
        self.disks.write_text(''.join(self._disks.values()))

    def mapping(self, iqn: str, initiator: str, lun: int, tpg_lun: int,
                io: tuple[int, int, int] = (0, 0, 0)) -> None:
        """Map a LUN to an initiator, which is not logged in yet."""
        acl = self.tpg(iqn) / 'acls' / initiator
        path = acl / f'lun_{lun}'
        self.write(path / 'write_protect', 0)
        (path / 'mydriver').symlink_to(os.path.relpath(
            self.tpg(iqn) / 'lun' / f'lun_{tpg_lun}', path))
        self.count(path / 'statistics/scsi_auth_intr', 'num_cmds', io)
        if not (acl / 'info').exists():
            self.write(acl / 'info', NO_SESSION.format(initiator=initiator))

    def session(self, iqn: str, initiator: str, *, alias: str = 'host',
                address: str = '192.0.2.7', sid: int = 1, queue: int = 0
                ) -> None:
        """Log an initiator in."""
        acl = self.tpg(iqn) / 'acls' / initiator
        self.write(acl / 'info', SESSION.format(
            initiator=initiator, alias=alias, address=address, sid=sid,
            window=64 - queue))

    @staticmethod
    def damage(path: Path) -> None:
        """Make an object or attribute unreadable, for root as well.

        It is a link to itself then: ELOOP. The kernel has other errors, such
        as EACCES where the caller lacks a right.
        """
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink()
        path.symlink_to(path)

    def count(self, folder: Path, commands: str, io: tuple[int, int, int]
              ) -> None:
        """Set the counters of a LUN."""
        for name, value in zip((commands, 'read_mbytes', 'write_mbytes'), io,
                               strict=True):
            self.write(folder / name, value)

    def tpg(self, iqn: str) -> Path:
        """Return the directory of a target's TPG."""
        return self.root / 'iscsi' / iqn / 'tpgt_1'

    @staticmethod
    def write(path: Path, value: object) -> None:
        """Write an attribute."""
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f'{value}\n')

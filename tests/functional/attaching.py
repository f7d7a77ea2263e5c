# SPDX-License-Identifier: Apache-2.0
"""A storage host and a compute host in one node, for tests of an attach."""

import collections
import dataclasses
import logging
import os
from pathlib import Path
import re
import subprocess
import sys
import tempfile
import unittest
import uuid

import os_brick
from os_brick import privileged as brick_privileged
from os_brick.initiator.connectors import iscsi
from oslo_concurrency import lockutils
from oslo_config import cfg
import rtslib_fb

from mydriver import connection, model, privileged
from mydriver.nova_virt import connector
from mydriver.target import factory, pool
from tests.fakes import connecting, devices
from tests.functional import base, lio

PATTERN_BYTES = 1 << 20

PORTALS = (model.Portal('127.0.0.1'), model.Portal('127.0.0.2'))
MIB = 1 << 20


def in_this_process(test: unittest.TestCase) -> None:
    """Run all privileged verbs of ours and os-brick's in this process."""
    lio.use(test)
    for context in (privileged.initiator_context, brick_privileged.default,
                    brick_privileged.brick_privsep_hide_output):
        context.set_client_mode(False)
        test.addCleanup(context.set_client_mode, True)


class Cloud:
    """What Cinder and Nova do for an attach, without them.

    :param test: whose clean-ups take all down again.
    :param chap: whether the target asks for CHAP.
    :param portals: where it listens.
    """

    def __init__(self, test: unittest.TestCase, *, chap: bool = True,
                 portals: tuple[model.Portal, ...] = PORTALS) -> None:
        in_this_process(test)
        folder = tempfile.TemporaryDirectory(dir='/var/tmp')
        test.addCleanup(folder.cleanup)
        self.folder = Path(folder.name)
        lio.grant(test, be=str(self.folder))
        lockutils.set_defaults(str(self.folder / 'locks'))
        os_brick.setup(cfg.CONF)
        cfg.CONF.set_override('lock_path', str(self.folder / 'locks'),
                              'os_brick')
        self.service = factory.build(pool.Settings(
            'be', 'iqn.2010-10.org.openstack:', portals, chap,
            str(self.folder), discovery_timeout_s=5.0),
            devices.FolderDevices(self.folder))
        test.addCleanup(lio.clear)
        self.service.check()
        self.service.reconciler.start()

    def volume(self, size_bytes: int = 16 * MIB) -> str:
        """Make a volume and export it; return its UUID."""
        volume_id = str(uuid.uuid4())
        with self.path(volume_id).open('wb') as f:
            f.truncate(size_bytes)
        self.export(volume_id, size_bytes)
        return volume_id

    def path(self, volume_id: str) -> Path:
        """Return a volume's backing file."""
        return self.folder / f'volume-{volume_id}'

    def export(self, volume_id: str, size_bytes: int) -> None:
        """Export a volume, as before each attach."""
        self.service.create_export(volume_id)

    def grow(self, volume_id: str, size_bytes: int) -> None:
        """Extend a volume that is in use."""
        os.truncate(self.path(volume_id), size_bytes)
        self.service.resize(volume_id, size_bytes)

    def attach(self, volume_id: str, marked: bool) -> dict:
        """Map a volume to this node; return ``connection_info['data']``.

        :param marked: whether the connector is that of our Nova side.
        """
        return connecting.connect(self.service, volume_id,
                                  self.connector(marked))

    def detach(self, volume_id: str) -> None:
        """Unmap a volume from this node."""
        connecting.disconnect(self.service, volume_id, self.connector(False))

    @staticmethod
    def connector(marked: bool) -> dict:
        """Return what Nova says of this node."""
        said = {'initiator': base.initiator_name(), 'host': 'node'}
        if marked:
            said[connection.MARKER] = connection.Capabilities(
                verifies_wwn=True, mutual_chap=True).mark()
        return said

    def swap(self, volume_id: str, other_id: str) -> None:
        """Put another volume under the LUN that a volume is mapped at.

        Nobody tells the initiator.
        """
        acl, mapped = self._mapped(volume_id)
        lun = mapped.mapped_lun
        mapped.delete()
        rtslib_fb.MappedLUN(acl, lun, self._tpg_lun(acl, other_id))

    def map_beside(self, volume_id: str, other_id: str, lun: int) -> None:
        """Map a volume at another volume's target as well, under a LUN."""
        acl, _mapped = self._mapped(other_id)
        rtslib_fb.MappedLUN(acl, lun, self._tpg_lun(acl, volume_id))

    def unmap_behind(self, volume_id: str) -> None:
        """Take a volume's LUN away; nobody tells the initiator."""
        self._mapped(volume_id)[1].delete()

    def _mapped(self, volume_id: str) -> tuple:
        for target in rtslib_fb.FabricModule('iscsi').targets:
            for tpg in target.tpgs:
                for acl in tpg.node_acls:
                    for mapped in acl.mapped_luns:
                        if (mapped.tpg_lun.storage_object.wwn == volume_id):
                            return acl, mapped
        raise AssertionError(f'{volume_id} is not mapped')

    @staticmethod
    def _tpg_lun(acl: rtslib_fb.NodeACL, volume_id: str) -> int:
        for lun in acl.parent_tpg.luns:
            if lun.storage_object.wwn == volume_id:
                return lun.lun
        # It lives on another target of the pool: export it here as well.
        for store in rtslib_fb.RTSRoot().storage_objects:
            if store.wwn == volume_id:
                return rtslib_fb.LUN(acl.parent_tpg, 4000, store).lun
        raise AssertionError(f'{volume_id} is not exported')


def stock(multipath: bool) -> iscsi.ISCSIConnector:
    """Return os-brick's own connector."""
    return iscsi.ISCSIConnector('', use_multipath=multipath,
                                device_scan_attempts=3)


def ours(multipath: bool) -> connector.ISCSIConnector:
    """Return the connector of our Nova side."""
    return connector.ISCSIConnector('', use_multipath=multipath,
                                    device_scan_attempts=3)


def disk_naa(path: str) -> str:
    """Return a disk's NAA id as udev's own program reads it."""
    said = base.run('/lib/udev/scsi_id', '--page=0x83', '--whitelisted',
                    '--replace-whitespace', f'--device={path}').strip()
    return said[1:]


def slaves(path: str) -> list[str]:
    """Return the disks below a map."""
    return sorted(os.listdir(
        f'/sys/block/{os.path.basename(os.path.realpath(path))}/slaves'))


def holders(name: str) -> list[str]:
    """Return the block devices on top of a disk."""
    return sorted(os.listdir(f'/sys/block/{name}/holders'))


def size_bytes(path: str) -> int:
    """Return the size of a block device, as blockdev has it."""
    return int(base.run('blockdev', '--getsize64', path))


def leftovers() -> dict[str, list[str]]:
    """Return what an attach could have left on this node, if anything."""
    base.run('udevadm', 'settle')
    by_path = Path('/dev/disk/by-path')
    wwids = Path('/etc/multipath/wwids')
    found = {
        'sessions': sorted(base.sessions()),
        'SCSI devices': sorted(base.scsi_devices()),
        'node records': [str(p) for p in Path('/etc/iscsi/nodes').glob('*')],
        'multipath maps': [str(p) for p in Path('/sys/block').glob('dm-*')],
        'links': [str(p) for p in by_path.glob('*iscsi*')]
        if by_path.is_dir() else [],
        'wwids': re.findall('^/.*', wwids.read_text(), re.MULTILINE)
        if wwids.exists() else [],
    }
    return {kind: names for kind, names in found.items() if names}


class Arguments:
    """Keeps the arguments and environment of every process that is started.

    By the interpreter's own audit events, which no way around a wrapper
    escapes; privileged verbs run in this process in these tests. A hook cannot
    be taken away again, so it does nothing once that ``end`` was called.
    """

    _EVENTS = ('subprocess.Popen', 'os.exec', 'os.posix_spawn', 'os.system')

    def __init__(self, test: unittest.TestCase) -> None:
        self.seen: list[str] = []
        self._on = True
        sys.addaudithook(self._hook)
        test.addCleanup(self.end)

    def _hook(self, event: str, args: tuple) -> None:
        if self._on and event in self._EVENTS:
            self.seen.append(repr(args))

    def end(self) -> None:
        """See nothing any more."""
        self._on = False

    @property
    def text(self) -> str:
        """All of it."""
        return '\n'.join(self.seen)


class LogCatcher(logging.Handler):
    """Keeps all that is logged, at every level."""

    def __init__(self, test: unittest.TestCase) -> None:
        super().__init__(logging.NOTSET)
        self.lines: list[str] = []
        root = logging.getLogger()
        levels = {root: root.level}
        for name in ('os_brick', 'mydriver', 'oslo_privsep',
                     'oslo_concurrency', 'brick_privsep_hide_output'):
            levels[logging.getLogger(name)] = logging.getLogger(name).level
        for logger in levels:
            logger.setLevel(logging.DEBUG)
        root.addHandler(self)
        test.addCleanup(root.removeHandler, self)
        test.addCleanup(lambda: [
            logger.setLevel(level) for logger, level in levels.items()])

    def emit(self, record: logging.LogRecord) -> None:
        """Keep a record, with its traceback."""
        self.lines.append(self.format(record))

    @property
    def text(self) -> str:
        """All of it."""
        return '\n'.join(self.lines)


@dataclasses.dataclass
class Attachment:
    """A volume that was mapped and connected.

    :param volume_id: its UUID.
    :param data: ``connection_info['data']``.
    :param connector: the connector that was used.
    :param result: what ``connect_volume`` returned.
    """

    volume_id: str
    data: dict
    connector: iscsi.ISCSIConnector
    result: dict

    @property
    def path(self) -> str:
        """Path of the block device."""
        return self.result['path']

    def disconnect(self, **kwargs: bool) -> None:
        """Disconnect as nova does, which keeps the path in the data."""
        self.connector.disconnect_volume(
            {**self.data, 'device_path': self.path}, None, **kwargs)


class AttachTestCase(base.NodeTestCase):
    """A node with a target, and ways to attach."""

    chap = True

    def setUp(self):
        super().setUp()
        self.cloud = Cloud(self, chap=self.chap)
        self.assertEqual({}, leftovers(), 'left by another test')
        self.addCleanup(self._log_out)

    @staticmethod
    def _log_out():
        """Clear away what a test that failed has left."""
        for command in ('dmsetup remove_all --force',
                        'iscsiadm -m session --logout',
                        'iscsiadm -m node -o delete'):
            subprocess.run(command.split(), check=False, capture_output=True)
        Path('/etc/multipath/wwids').unlink(missing_ok=True)

    def attach(self, kind=ours, multipath=False, volume_id=None):
        volume_id = volume_id or self.cloud.volume()
        data = self.cloud.attach(volume_id, marked=kind is ours)
        connector = kind(multipath)
        return Attachment(volume_id, data, connector,
                          connector.connect_volume(data))

    def detach(self, attachment, **kwargs):
        attachment.disconnect(**kwargs)
        self.cloud.detach(attachment.volume_id)

    def neighbours(self, count=2):
        """Return volumes that are on one target of the pool."""
        by_target = collections.defaultdict(list)
        while True:
            volume_id = self.cloud.volume()
            iqn = self.cloud.attach(volume_id, True)['target_iqn']
            by_target[iqn].append(volume_id)
            if len(by_target[iqn]) == count:
                return by_target[iqn]

    def assert_is(self, path, volume_id):
        """Prove by udev's program and by its content which volume it is."""
        self.assertEqual(model.naa_id(volume_id), disk_naa(path))
        mark = uuid.UUID(volume_id).bytes * (PATTERN_BYTES // 16)
        fd = os.open(path, os.O_RDWR)
        try:
            os.pwrite(fd, mark, MIB)
            os.fsync(fd)
        finally:
            os.close(fd)
        with self.cloud.path(volume_id).open('rb') as f:
            self.assertEqual(mark, os.pread(f.fileno(), len(mark), MIB))

    def assert_nothing_left(self, *except_for):
        left = leftovers()
        self.assertEqual({}, {
            k: v for k, v in left.items() if k not in except_for})

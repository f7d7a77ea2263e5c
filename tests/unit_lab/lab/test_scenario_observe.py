# SPDX-License-Identifier: Apache-2.0
"""What scenarios accept as proof."""

import copy
import json
from pathlib import Path
import tempfile
import unittest
from unittest import mock

from lab.scenario import observe, probe
from mydriver import model

VOLUME = '0a1b2c3d-4e5f-4a6b-8c7d-9e0f1a2b3c4d'
OTHER = 'ffffffff-4e5f-4a6b-8c7d-9e0f1a2b3c4d'
IQN = 'iqn.2010-10.org.openstack:mydriver-storage-mydriver-0'
HOST = 'iqn.1993-08.org.debian:01:compute'
GIB = 1 << 30

NOTHING = {
    'target': {'targets': {IQN: {'luns': {}, 'portals': [], 'acls': {}}},
               'backstores': {}, 'files': {}, 'sessions': []},
    'initiator': {'sessions': {}, 'devices': {}, 'records': [], 'maps': []},
}


def attached() -> dict:
    """Return what both nodes show while the volume is attached."""
    disk = {'name': 'sda', 'size_bytes': GIB, 'naa': model.naa_id(VOLUME),
            'holders': []}
    return {
        'target': {
            'targets': {IQN: {'luns': {'lun_7': 'vol'}, 'portals': [],
                              'acls': {HOST: {'lun_1': 'vol'}}}},
            'backstores': {'vol': {'serial': VOLUME, 'path': '/s/vol'}},
            'files': {'/s/vol': {'size_bytes': GIB, 'used_bytes': 0}},
            'sessions': [HOST]},
        'initiator': {
            'sessions': {'session1': {'target': IQN, 'state': 'LOGGED_IN'}},
            'devices': {'2:0:0:1': disk}, 'records': [f'{IQN}/portal'],
            'maps': []},
    }


class Nodes:
    """A cloud whose nodes give prepared answers."""

    def __init__(self, shown: dict) -> None:
        self.shown = shown

    def node_exec(self, name, argv):
        """Answer as the probe does."""
        del name
        kind = next(k for k in ('target', 'initiator') if k in argv)
        return 0, json.dumps(self.shown[kind])


class TestObserver(unittest.TestCase):
    """Proofs, and what must not be taken for one."""

    def setUp(self):
        self.shown = attached()
        self.observer = observe.Observer(Nodes(self.shown))

    def test_attached(self):
        proof = self.observer.attached(VOLUME, GIB)
        for part in ('LUN 1', IQN, HOST, 'sda', model.naa_id(VOLUME)):
            self.assertIn(part, proof)

    def _assert_not_attached(self, why: str, size_bytes: int = GIB) -> None:
        with self.assertRaisesRegex(observe.NotSeen, why):
            self.observer.attached(VOLUME, size_bytes)

    def test_not_mapped(self):
        self.shown['target']['targets'][IQN]['acls'] = {HOST: {}}
        self._assert_not_attached('maps volume .* 0 times')

    def test_another_volume_is_mapped(self):
        self.shown['target']['backstores']['vol']['serial'] = OTHER
        self._assert_not_attached('maps volume .* 0 times')

    def test_the_device_is_another_volume(self):
        device = self.shown['initiator']['devices']['2:0:0:1']
        device['naa'] = model.naa_id(OTHER)
        self._assert_not_attached('no SCSI device')

    def test_the_device_has_another_size(self):
        self._assert_not_attached('should have', 2 * GIB)

    def test_two_paths_of_one_map(self):
        devices = self.shown['initiator']['devices']
        devices['3:0:0:1'] = {**devices['2:0:0:1'], 'name': 'sdb'}
        self._assert_not_attached('not of one multipath map')
        devices['2:0:0:1']['holders'] = ['dm-0']
        self._assert_not_attached('not of one multipath map')
        devices['3:0:0:1']['holders'] = ['dm-0']
        self.assertIn('sda+sdb as dm-0',
                      self.observer.attached(VOLUME, GIB))

    def test_detached(self):
        with self.assertRaisesRegex(observe.NotSeen, 'detached, but'):
            self.observer.detached(VOLUME)
        self.shown['initiator']['devices'] = {}
        with self.assertRaisesRegex(observe.NotSeen, 'detached, but'):
            self.observer.detached(VOLUME)
        self.shown['target']['targets'][IQN]['acls'] = {}
        self.assertIn('no device', self.observer.detached(VOLUME))

    def test_left_over_names_each_kind(self):
        before = observe.Seen(**copy.deepcopy(NOTHING))
        left = observe.left_over(before, self.observer.look())
        self.assertEqual({'multipath maps'},
                         {kind for kind, found in left.items() if not found})
        self.shown['initiator']['maps'] = ['mpatha']
        left = observe.left_over(before, self.observer.look())
        self.assertTrue(all(left.values()), left)

    def test_nothing_left(self):
        before = observe.Seen(**copy.deepcopy(NOTHING))
        left = observe.left_over(before, observe.Seen(**NOTHING))
        self.assertFalse(any(left.values()), left)


class TestProbe(unittest.TestCase):
    """Reading trees like those of the kernel."""

    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.root = Path(folder.name)
        patch = mock.patch.object(probe, '_CONFIGFS', self.root)
        patch.start()
        self.addCleanup(patch.stop)

    def _write(self, name: str, text: str) -> None:
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)

    def test_target(self):
        store = 'core/fileio_1/vol'
        self._write(f'{store}/wwn/vpd_unit_serial',
                    f'T10 VPD Unit Serial Number: {VOLUME}\n')
        self._write(f'{store}/udev_path', '/s/vol\n')
        tpg = f'iscsi/{IQN}/tpgt_1'
        self._write(f'{tpg}/acls/{HOST}/info', 'No active iSCSI Session\n')
        (self.root / tpg / 'lun/lun_7').mkdir(parents=True)
        (self.root / tpg / 'lun/lun_7/x').symlink_to(self.root / store)
        mapped = self.root / tpg / f'acls/{HOST}/lun_1'
        mapped.mkdir()
        (mapped / 'x').symlink_to(self.root / tpg / 'lun/lun_7')
        self._write('store/sub/file', 'data')
        seen = probe.target([str(self.root / 'store')])
        self.assertEqual({IQN: {'luns': {'lun_7': 'vol'}, 'portals': [],
                                'acls': {HOST: {'lun_1': 'vol'}}}},
                         seen['targets'])
        self.assertEqual({'vol': {'serial': VOLUME, 'path': '/s/vol'}},
                         seen['backstores'])
        self.assertEqual([4], [f['size_bytes']
                               for f in seen['files'].values()])
        self.assertEqual([], seen['sessions'])

    def test_naa_among_other_designators(self):
        naa = bytes.fromhex(model.naa_id(VOLUME))
        designators = (b'\x02\x01\x00\x04T10x' + b'\x01\x14\x00\x04\0\0\0\1'
                       + b'\x01\x03\x00\x10' + naa)
        page = b'\x00\x83' + len(designators).to_bytes(2, 'big') + designators
        path = self.root / 'vpd_pg83'
        path.write_bytes(page)
        self.assertEqual(naa.hex(), probe._naa(path))
        path.write_bytes(page[:3] + b'\x10' + page[4:])
        self.assertIsNone(probe._naa(path))
        self.assertIsNone(probe._naa(self.root / 'none'))

# SPDX-License-Identifier: Apache-2.0
"""What scenarios accept as proof."""

import contextlib
import copy
import hashlib
import json
from pathlib import Path
import tempfile
import unittest
from unittest import mock

from lab.cloud import settings
from lab.scenario import backings, observe, probe
from mydriver import model

VOLUME = '0a1b2c3d-4e5f-4a6b-8c7d-9e0f1a2b3c4d'
OTHER = 'ffffffff-4e5f-4a6b-8c7d-9e0f1a2b3c4d'
IQN = 'iqn.2010-10.org.openstack:mydriver-storage-mydriver-0'
HOST = 'iqn.1993-08.org.debian:01:compute'
GIB = 1 << 30

NOTHING = {
    'target': {'targets': {IQN: {'luns': {}, 'portals': [], 'acls': {}}},
               'backstores': {}, 'files': {}, 'sessions': [],
               'mapped images': []},
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
            'sessions': [HOST], 'mapped images': ['volumes/vol/-']},
        'initiator': {
            'sessions': {'session1': {'target': IQN, 'state': 'LOGGED_IN'}},
            'devices': {'2:0:0:1': disk}, 'records': [f'{IQN}/portal'],
            'maps': []},
    }


class Nodes:
    """A cloud whose nodes give prepared answers."""

    options = settings.Options()

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


class TestMerged(unittest.TestCase):
    """Several nodes as one."""

    def test_each_adds_its_own(self):
        mine, other = attached()['target'], copy.deepcopy(NOTHING['target'])
        other['targets'] = {f'{IQN}1': mine['targets'][IQN]}
        other['mapped images'] = ['volumes/two/-']
        found = observe.merged({'gw1': mine, 'gw2': other})
        self.assertEqual({IQN, f'{IQN}1'}, set(found['targets']))
        self.assertEqual(['volumes/vol/-', 'volumes/two/-'],
                         found['mapped images'])
        self.assertEqual({'vol'}, set(found['backstores']))

    def test_two_owners_are_an_error(self):
        mine = attached()['target']
        with self.assertRaisesRegex(observe.NotSeen, f'gw2 serves .*{IQN}'):
            observe.merged({'gw1': mine, 'gw2': copy.deepcopy(mine)})


class Image:
    """An image with content and snapshots."""

    def __init__(self, data: bytes, *snaps: str) -> None:
        self.data = bytearray(data)
        self.snaps = snaps

    def size(self) -> int:
        """Return its size."""
        return len(self.data)

    def list_snaps(self) -> list[dict]:
        """Return its snapshots."""
        return [{'name': name, 'size': 7} for name in self.snaps]

    def read(self, offset: int, length: int) -> bytes:
        """Return a part."""
        return bytes(self.data[offset:offset + length])

    def write(self, data: bytes, offset: int) -> None:
        """Change a part."""
        self.data[offset:offset + len(data)] = data

    @staticmethod
    def watchers_list() -> list[dict]:
        """Return two watchers, one of them this client."""
        return [{'addr': '192.0.2.7:0/12', 'id': 4711},
                {'addr': '192.0.2.1:0/34', 'id': 1}]


class Ceph:
    """A Ceph with one volume, and one image in the trash."""

    def __init__(self, image: Image) -> None:
        self.opened = image
        self.cluster = mock.Mock()
        self.cluster.get_instance_id.return_value = 1

    def __enter__(self) -> 'Ceph':
        return self

    def __exit__(self, *exc: object) -> None:
        pass

    @staticmethod
    def list_images(pool: str) -> list[str]:
        """Return one image, in one pool."""
        return [f'volume-{VOLUME}'] if pool == 'volumes' else []

    @staticmethod
    def list_trash(pool: str) -> list[str]:
        """Return one image, in one pool."""
        return ['gone'] if pool == 'volumes' else []

    @contextlib.contextmanager
    def image(self, pool: str, name: str, *, write: bool = False):
        """Open the image."""
        del write
        assert (pool, name) == ('volumes', f'volume-{VOLUME}')
        yield self.opened


class TestInCeph(unittest.TestCase):
    """Images as backings."""

    def setUp(self):
        self.image = Image(bytes(1 << 21), f'snapshot-{OTHER}')
        self.backings = backings.InCeph(lambda: Ceph(self.image))
        self.path = f'rbd:volumes/volume-{VOLUME}'

    def test_images_snapshots_and_trash(self):
        self.assertEqual(
            {self.path: {'size_bytes': 1 << 21},
             f'{self.path}/snapshot-{OTHER}': {'size_bytes': 7},
             'rbd:volumes/trash/gone': {'size_bytes': 0}},
            self.backings.more())

    def test_a_snapshot_is_not_the_volume(self):
        observer = observe.Observer(Nodes(attached()))
        observer.backings = self.backings
        self.assertEqual((self.path, 1 << 21), observer.backing_file(VOLUME))

    def test_a_line_and_its_block(self):
        self.image.data[:512] = b'x' * 512
        self.backings.write_line(self.path, 'write token')
        self.assertEqual(b'write token\n'.ljust(512, b'\0'),
                         self.image.data[:512])
        self.image.write(b'a    b\n'.ljust(4096), 8192)
        self.assertEqual('a b\n ', self.backings.text(self.path, 2, 1))

    def test_checksum(self):
        self.image.write(b'y' * 10, 1 << 20)
        self.assertEqual(
            hashlib.sha256(self.image.data[1 << 20:]).hexdigest(),
            self.backings.checksum(self.path, 1, 1))

    def test_other_hosts_that_have_it_open(self):
        self.assertEqual({'192.0.2.7'}, self.backings.users(self.path))

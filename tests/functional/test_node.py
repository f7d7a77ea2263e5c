# SPDX-License-Identifier: Apache-2.0
"""A kernel node provides what the other tests need.

Nothing of the driver is used here: when one of these fails, the lab is what is
broken.
"""

from concurrent import futures
import fcntl
import io
import os
from pathlib import Path
import subprocess
import sys
import tempfile
import uuid

from lab import errors, paths, process
from lab.kernel import mailbox
from mydriver import model
from tests.functional import base

_TARGET = 'iqn.2010-10.org.openstack:node-test'
_CONFIGFS = Path('/sys/kernel/config/target')
_FICLONE = 0x40049409  # _IOW(0x94, 9, int), linux/fs.h

#: Become a program that inherits the orphans among its descendants, as init
#: does: PR_SET_CHILD_SUBREAPER (36, prctl(2)) holds over exec.
_AS_INIT = '''import ctypes, os, sys
assert ctypes.CDLL(None).prctl(36, 1, 0, 0, 0) == 0
os.execvp(sys.argv[1], sys.argv[1:])'''


class TestNode(base.NodeTestCase):
    """The node itself."""

    def test_programs_are_those_of_the_environment(self):
        self.assertEqual(paths.VENV, Path(sys.prefix))
        first = os.environ['PATH'].split(os.pathsep)[0]
        self.assertEqual(f'{sys.prefix}/bin', first)
        self.assertTrue(Path.cwd().is_relative_to(paths.ROOT))

    def test_root_is_an_overlay_and_temporary_folders_are_empty(self):
        types = {}
        for line in Path('/proc/mounts').read_text().splitlines():
            _, folder, kind, *_ = line.split()
            types[folder] = kind
        self.assertEqual('overlay', types['/'])
        for folder in ('/tmp', '/run', '/dev/shm', '/var/log'):
            self.assertEqual('tmpfs', types[folder], folder)

    def test_machines_files_cannot_be_changed(self):
        """Not even below the overlay, where the first mounts are visible."""
        probe = paths.STATE / f'probe-{os.getpid()}'
        self.assertFalse(probe.exists())
        done = subprocess.run(
            ['nsenter', '--target', '1', '--mount', 'touch', probe],
            check=False, capture_output=True, text=True)
        self.assertIn('Read-only file system', done.stderr)

    def test_device_mapper(self):
        targets = base.run('dmsetup', 'targets')
        for name in ('linear', 'thin-pool', 'multipath'):
            self.assertIn(name, targets)

    def test_xfs_shares_blocks(self):
        folder = self.mount_xfs(Path('/mnt/test-node'))
        (folder / 'a').write_bytes(b'pattern' * 100000)
        with (folder / 'a').open('rb') as a, (folder / 'b').open('wb') as b:
            fcntl.ioctl(b, _FICLONE, a.fileno())
        self.assertEqual((folder / 'a').read_bytes(),
                         (folder / 'b').read_bytes())


class TestTarget(base.NodeTestCase):
    """The kernel's target and initiator, with configfs and iscsiadm alone."""

    def setUp(self):
        super().setUp()
        self.volume_id = str(uuid.uuid4())
        self.image = Path('/tmp', self.volume_id)
        with self.image.open('wb') as f:
            f.truncate(64 << 20)
        self.addCleanup(self.image.unlink)
        self.addCleanup(self._check_nothing_is_left)

    def _check_nothing_is_left(self) -> None:
        self.assertEqual(set(), base.sessions())
        self.assertEqual(set(), base.scsi_devices())
        self.assertFalse((_CONFIGFS / 'core/fileio_4711').exists())

    def _export(self, *addresses: str) -> None:
        """Export the image to this node, without CHAP."""
        (_CONFIGFS / 'iscsi').mkdir(exist_ok=True)
        backstore = self._mkdir('core/fileio_4711')
        backstore = self._mkdir('core/fileio_4711/image')
        (backstore / 'control').write_text(
            f'fd_dev_name={self.image},fd_dev_size={64 << 20}')
        (backstore / 'wwn/vpd_unit_serial').write_text(self.volume_id)
        (backstore / 'enable').write_text('1')
        self._mkdir(f'iscsi/{_TARGET}')
        tpg = self._mkdir(f'iscsi/{_TARGET}/tpgt_1')
        lun = self._mkdir(f'iscsi/{_TARGET}/tpgt_1/lun/lun_5')
        self._link(lun / 'image', backstore)
        acl = f'iscsi/{_TARGET}/tpgt_1/acls/{base.initiator_name()}'
        self._mkdir(acl)
        self._link(self._mkdir(f'{acl}/lun_300') / 'image', lun)
        for address in addresses:
            self._mkdir(f'iscsi/{_TARGET}/tpgt_1/np/{address}:3260')
        (tpg / 'attrib/authentication').write_text('0')
        (tpg / 'enable').write_text('1')

    def _mkdir(self, name: str) -> Path:
        folder = _CONFIGFS / name
        folder.mkdir()
        self.addCleanup(folder.rmdir)
        return folder

    def _link(self, link: Path, to: Path) -> None:
        link.symlink_to(to)
        self.addCleanup(link.unlink)

    def _login(self, *addresses: str) -> None:
        for address in addresses:
            base.run('iscsiadm', '-m', 'node', '-T', _TARGET, '-p', address,
                     '-o', 'new')
            self.addCleanup(base.run, 'iscsiadm', '-m', 'node', '-T', _TARGET,
                            '-p', address, '-o', 'delete')
            base.run('iscsiadm', '-m', 'node', '-T', _TARGET, '-p', address,
                     '--login')
            self.addCleanup(base.run, 'iscsiadm', '-m', 'node', '-T', _TARGET,
                            '-p', address, '--logout')

    def _link_by_id(self, prefix: str) -> Path:
        link = Path('/dev/disk/by-id',
                    prefix + model.naa_id(self.volume_id))
        return process.wait_for(
            lambda: link.exists() and link, f'udev to make {link}', 60)

    def test_a_lun_is_a_disk_with_the_volumes_identity(self):
        self._export('127.0.0.1')
        self._login('127.0.0.1')
        link = self._link_by_id('wwn-0x')
        self.assertIn('lun-0x012c000000000000', base.run(
            'udevadm', 'info', '--query=symlink', str(link)))
        pattern = os.urandom(4096)
        with link.open('r+b', buffering=0) as disk:
            disk.write(pattern)
            os.fsync(disk)
        self.assertEqual(pattern, self.image.read_bytes()[:4096])
        self.assertEqual(64 << 20, int(base.run(
            'blockdev', '--getsize64', str(link))))

    def test_two_portals_are_one_multipath_device(self):
        self.start_multipathd()
        addresses = ('127.0.0.1', '127.0.0.2')
        self._export(*addresses)
        self._login(*addresses)
        name = '3' + model.naa_id(self.volume_id)
        device = Path('/dev/mapper', name)
        self.addCleanup(self._flush, name)
        process.wait_for(
            lambda: device.exists() and base.run(
                'multipath', '-ll', name).count('active ready') == 2,
            f'both paths of {device}', 60)
        self.assertEqual(2, len(base.scsi_devices()))

    @staticmethod
    def _flush(name: str) -> None:
        # udev's probes hold a new map open for a moment.
        base.run('udevadm', 'settle')
        base.run('multipath', '-f', name)


class TestMailbox(base.NodeTestCase):
    """Commands for a node that stays; both ends are in this node."""

    def setUp(self):
        super().setUp()
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = Path(folder.name, 'box')
        mailbox.Mailbox.reset(self.folder)
        tick = Path('/run/mailbox.tick')
        self.addCleanup(tick.unlink, missing_ok=True)
        self.served = process.spawn(
            'node', [sys.executable, '-c', _AS_INIT,
                     'bash', '-c', '. "$0"; node_mailbox "$1"',
                     paths.KERNEL_SHELL / 'functions.sh', self.folder],
            Path(folder.name, 'log'))
        self.addCleanup(self.served.end, grace_s=0)
        self.box = mailbox.Mailbox(self.folder, self.served)
        self.box.wait_ready()

    def test_output_and_status(self):
        result = self.box.run(
            ['sh', '-c', 'printf "a\\377"; echo e >&2; exit 7'])
        self.assertEqual(mailbox.Result(7, b'a\xff', b'e\n'), result)
        self.assertEqual('/tmp\n', self.box.run(['pwd'],
                                                cwd=Path('/tmp')).text)

    def test_words(self):
        words = ['a b', '', '$HOME', 'x\ny', "it's"]
        self.assertEqual(''.join(f'{w}|' for w in words),
                         self.box.check(['printf', '%s|', *words]))

    def test_stream(self):
        out, err = io.BytesIO(), io.BytesIO()
        self.assertEqual(3, self.box.stream(
            ['sh', '-c', 'echo 1; echo 2 >&2; exit 3'], out, err))
        self.assertEqual((b'1\n', b'2\n'), (out.getvalue(), err.getvalue()))

    def test_several_at_once_and_nothing_left(self):
        """Each waits for the other's file."""
        def meet(mine: str, other: str) -> int:
            return self.box.run(
                ['bash', '-c', ('touch "$0"; until [ -e "$1" ]; do '
                                'sleep 0.1; done'),
                 str(self.folder / mine), str(self.folder / other)]).status
        with futures.ThreadPoolExecutor() as pool:
            self.assertEqual([0, 0], list(pool.map(
                meet, ('one', 'two'), ('two', 'one'))))
        self.assertEqual([], list(self.folder.glob('*.request')))

    def test_deadline(self):
        with self.assertRaisesRegex(errors.DeadlinePassed, 'sleep 1000'):
            self.box.run(['sleep', '1000'], timeout_s=1)

    def test_failure(self):
        with self.assertRaisesRegex(errors.LabError, 'status 3\nwhy'):
            self.box.check(['sh', '-c', 'echo why >&2; exit 3'])

    def test_what_is_left_behind_is_reaped(self):
        """By the process that would be init, as soon as it ends."""
        loop = self._children()
        self.assertEqual(1, len(loop), 'the loop is a process of its own')
        self.box.check(['sh', '-c', 'setsid sleep 0.1 & setsid sleep 0.2 &'])
        process.wait_for(lambda: self._children() == loop,
                         'two orphans to be reaped', 10)

    def _children(self) -> list[int]:
        pid = self.served.pid
        return [int(child) for child in Path(
            f'/proc/{pid}/task/{pid}/children').read_text().split()]

    def test_a_node_that_ended(self):
        self.served.end(grace_s=0)
        with self.assertRaisesRegex(errors.ProcessEnded, 'node'):
            self.box.run(['true'])

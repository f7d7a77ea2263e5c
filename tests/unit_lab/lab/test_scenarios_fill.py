# SPDX-License-Identifier: Apache-2.0
"""What the filling compares with, and the guest that fills."""

import hashlib
from pathlib import Path
import shutil
import subprocess
import tempfile
import unittest
import uuid

from lab import paths
from lab.cloud import settings
from lab.cloud.node import node
from lab.cloud.steps.registry import Registry
from lab.scenarios.fill import story
from tests.unit_lab.lab.test_cloud_config import make_site

_INIT = paths.ROOT / 'lab/guest/init.sh'
_LOAD = paths.ROOT / 'lab/guest/load.sh'


def guest_script(folder: Path, script: str) -> Path:
    """Write a program: the guest's functions, then something that calls them.

    :param folder: in the place of the guest's /tmp, /dev and /sys/block.
    """
    text = _INIT.read_text()
    begin = text.index('PATTERN_BYTES=')
    text = text[begin:text.index('\n. /load.sh')] + '\n' + _LOAD.read_text()
    functions = text.replace(
        '/tmp/', f'{folder}/').replace('/dev/$', f'{folder}/$').replace(
        '/sys/block', f'{folder}/sys').replace(
        '> /proc/sys/vm/drop_caches', f'> {folder}/proc').replace(
        'oflag=direct', '').replace('iflag=direct', '')
    program = folder / 'guest.sh'
    program.write_text(f"{functions}\nknown='' fill_disk=''\n{script}\n")
    return program


class TestGuest(unittest.TestCase):
    """The guest's own functions, on files in the place of disks."""

    def setUp(self):
        super().setUp()
        self.folder = Path(tempfile.mkdtemp())
        self.addCleanup(shutil.rmtree, self.folder)
        (self.folder / 'proc').write_text('')

    def guest(self, script: str) -> str:
        """Run functions of the guest; return what it says."""
        program = guest_script(self.folder, script)
        return subprocess.run(
            ['busybox', 'sh', str(program)], check=True, text=True,
            capture_output=True).stdout

    def disk(self, size_mib: int, token: str) -> Path:
        """Make a disk that is to be filled."""
        path = self.folder / 'vdc'
        with path.open('wb') as f:
            f.write(f'mydriver-fill {token}\n'.encode())
            f.truncate(size_mib << 20)
        size = self.folder / 'sys/vdc/size'
        size.parent.mkdir(parents=True)
        size.write_text(f'{size_mib * 2048}\n')
        return path

    def test_a_disk_is_filled_with_the_pattern(self):
        token = str(uuid.uuid4())
        path = self.disk(48, token)
        said = self.guest('fill_begin vdc && fill')
        self.assertIn(f'disk vdc filled token={token} slots=3 slot_mib=16 ok',
                      said)
        data = path.read_bytes()
        self.assertEqual(48 << 20, len(data))
        self.assertEqual(
            hashlib.sha256(story.pattern(token) * 8).digest(),
            hashlib.sha256(data[16 << 20:]).digest())

    def test_a_refused_write_is_told_once_and_tried_again(self):
        token = str(uuid.uuid4())
        self.disk(64, token)
        # A disk that takes no more than one slot.
        said = self.guest(f'''
            fill_begin vdc
            dd() {{
                case "$*" in
                *seek=32*) [ -e {self.folder}/room ] || {{
                    echo "dd: error writing 'vdc': I/O error" >&2
                    return 1; }} ;;
                esac
                command dd "$@"
            }}
            fill; fill
            : > {self.folder}/room
            fill''')
        told = [line for line in said.splitlines() if 'GUEST' in line]
        self.assertEqual(2, len(told), said)
        self.assertIn('refused', told[0])
        self.assertIn('slots=2 slot_mib=16 error=I/O-error ok', told[0])
        self.assertIn('filled', told[1])

    def test_a_slot_that_changed_is_bad(self):
        path = self.disk(48, str(uuid.uuid4()))
        said = self.guest(f'''
            fill_begin vdc
            fill
            printf x | dd of={path} bs=1 seek=$((17 << 20)) conv=notrunc
            fill_next=3 fill_kept
            echo "kept $kept"''')
        self.assertIn('kept BAD', said)

    def test_other_disks_are_not_filled(self):
        self.disk(16, 'x')
        (self.folder / 'vdc').write_bytes(b'mydriver-pattern a 1 b\n')
        self.assertEqual('no\n', self.guest('fill_begin vdc || echo no'))


class TestDisks(unittest.TestCase):
    """The disks of the storage node are as large as the options say."""

    def test_sizes(self):
        folder = Path(tempfile.mkdtemp())
        self.addCleanup(shutil.rmtree, folder)
        for name, options, wanted in (
                ('storage', {}, (200,)),
                ('storage', {'store': 'lvmthin', 'storage_gib': 3}, (3, 3)),
                ('compute', {'storage_gib': 3}, (40,))):
            site = make_site(folder, **options)
            layout = settings.Layout(folder)
            machine = node.Node(site, Registry(
                layout.pids, layout.logs), name)
            self.assertEqual(wanted, machine.disks_gib())

# SPDX-License-Identifier: Apache-2.0
"""Tests of how the guest image is made."""

import gzip
from pathlib import Path
import struct
import subprocess
import tempfile
import unittest
from unittest import mock

from oslo_utils.imageutils import format_inspector

from lab import errors
from lab.guest import archive, image, kernel, sector


class Base(unittest.TestCase):
    """Has a directory."""

    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = Path(folder.name)


class TestArchive(Base):
    """The initial RAM file system, unpacked by another program."""

    def _unpack(self, files) -> Path:
        packed = archive.initramfs(files)
        subprocess.run(['busybox', 'cpio', '-i', '-d'], check=True,
                       cwd=self.folder, input=gzip.decompress(packed),
                       capture_output=True)
        return self.folder

    def test_files_come_out_as_they_went_in(self):
        files = {'init': (0o755, b'#!/bin/sh\n'), 'empty': (0o600, b''),
                 'a/deep/folder/file': (0o644, b'x' * 1001)}
        root = self._unpack(files)
        self.assertEqual(set(files), {
            str(p.relative_to(root)) for p in root.rglob('*') if p.is_file()})
        for name, (mode, data) in files.items():
            self.assertEqual(data, (root / name).read_bytes())
            self.assertEqual(mode, (root / name).stat().st_mode & 0o777)

    def test_the_same_content_gives_the_same_bytes(self):
        files = {'a': (0o644, b'1'), 'b': (0o644, b'2')}
        self.assertEqual(archive.initramfs(files),
                         archive.initramfs(dict(reversed(files.items()))))


class TestKernel(Base):
    """Modules of an unpacked package."""

    def setUp(self):
        super().setUp()
        self.tree = self.folder / 'lib/modules/6.1'
        (self.tree / 'drivers').mkdir(parents=True)
        (self.tree / 'modules.builtin').write_text('kernel/fs/ext4-x.ko\n')

    def _module(self, name: str, needs: str) -> None:
        (self.tree / 'drivers' / f'{name}.ko').write_bytes(
            b'\x7fELF..license=GPL\0depends=' + needs.encode() + b'\0name=')

    def test_what_a_module_needs_comes_before_it(self):
        self._module('virtio_blk', 'virtio,virtio_ring')
        self._module('virtio', '')
        self._module('virtio_ring', 'virtio,ext4_x')
        self.assertEqual(
            ['virtio.ko', 'virtio_ring.ko', 'virtio_blk.ko'],
            list(kernel.modules(self.folder, ['virtio_blk', 'virtio'])))

    def test_a_module_with_a_hyphen_in_its_file_name(self):
        self._module('a-b', '')
        self.assertEqual(['a_b.ko'], list(kernel.modules(self.folder,
                                                         ['a_b'])))

    def test_a_module_that_is_not_there(self):
        with self.assertRaisesRegex(errors.LabError, 'no module virtio_blk'):
            kernel.modules(self.folder, ['virtio_blk'])


class TestImage(Base):
    """The disk."""

    def test_partition_table_and_id(self):
        code = self.folder / 'mbr.bin'
        code.write_bytes(b'\xfa' * 440)
        disk = self.folder / 'disk'
        with mock.patch.object(image, '_BOOT_CODE', code):
            image._write_disk(disk, 'some-id')
        data = disk.read_bytes()
        self.assertEqual(image.SIZE_BYTES, len(data))
        self.assertEqual(b'\x55\xaa', data[510:512])
        active, _, kind, _, start, count = struct.unpack(
            '<B3sB3sII', data[446:462])
        self.assertEqual((0x80, 0x0e), (active, kind))
        self.assertEqual(image.SIZE_BYTES, (start + count) * 512)
        self.assertEqual('some-id', image.image_id(disk))

    def test_the_id_tells_of_what_it_is_made(self):
        init = self.folder / 'init'
        init.write_text('one')
        with mock.patch.object(image, '_INIT', init):
            one = image._identity('linux-1')
            self.assertEqual(one, image._identity('linux-1'))
            self.assertNotEqual(one, image._identity('linux-2'))
            init.write_text('two')
            self.assertNotEqual(one, image._identity('linux-1'))

    def test_its_scripts_are_shell_scripts(self):
        for script in (image._INIT, image._LOAD):
            subprocess.run(['busybox', 'ash', '-n', script], check=True)


class TestSector(Base):
    """The guest of one sector."""

    def test_the_code_is_what_its_text_says(self):
        text = sector.__doc__.partition('::\n')[2]
        source, program = self.folder / 'a.s', self.folder / 'a.o'
        source.write_text(f'.code16\n{text}')
        subprocess.run(['as', '--32', '-o', program, source], check=True)
        subprocess.run(['objcopy', '-O', 'binary', '-j', '.text', program],
                       check=True)
        self.assertEqual(program.read_bytes(), sector.CODE)

    def test_a_disk_that_a_bios_boots(self):
        disk = sector.disk()
        self.assertEqual(sector.SIZE_BYTES, len(disk))
        self.assertEqual(b'\x55\xaa', disk[510:512])
        self.assertTrue(disk.startswith(sector.CODE))
        self.assertLess(len(sector.CODE), image.TABLE)
        # As glance sees it.
        seen = format_inspector.detect_file_format(self._write(disk))
        self.assertEqual('gpt', str(seen))
        seen.safety_check()

    def _write(self, disk: bytes) -> str:
        path = self.folder / 'disk'
        path.write_bytes(disk)
        return str(path)

# SPDX-License-Identifier: Apache-2.0
"""Tests of how a kernel node is described and started."""

import argparse
import os
from pathlib import Path
import shutil
import subprocess
import tempfile
import unittest
from unittest import mock

from lab import errors, paths, process
from lab.kernel import cli, cpus, host, node


class Base(unittest.TestCase):
    """Has a directory."""

    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = Path(folder.name).resolve()


class TestStart(Base):
    """Everything up to the kernel, which is a script here."""

    def setUp(self):
        super().setUp()
        # cpus.is_node looks at the name.
        kernel = self.folder / cpus.NODE_COMM
        kernel.write_text('#!/bin/sh\necho "$@"\nexec 3<&0; while :; do '
                          'sleep 0.1; done\n')
        kernel.chmod(0o755)
        for patch in (mock.patch.object(host, 'LINUX', str(kernel)),
                      mock.patch.object(host, 'check'),
                      mock.patch.object(host, 'allow_mappings'),
                      mock.patch.object(paths, 'STATE', self.folder)):
            patch.start()
            self.addCleanup(patch.stop)

    def _start(self, spec: node.NodeSpec, **kwargs) -> list[str]:
        log = self.folder / 'console'
        started = node.start(spec, self.folder / 'state', log=log, **kwargs)
        self.addCleanup(started.end, grace_s=0)
        self.process = started
        return process.wait_for(log.read_text, 'the command line', 30).split()

    def test_command_line(self):
        words = self._start(node.NodeSpec('n', 512, 0, disks=(4096,),
                                          taps=('tap0', 'tap1')))
        state = self.folder / 'state'
        for word in ('mem=512M', f'ubda={state}/ubda', f'uml_dir={state}',
                     'umid=n', f'NODE_ENV={state}/node.env',
                     'vec0:transport=tap,ifname=tap0,depth=128,gro=1,mac='
                     + node.hardware_address('n', 0),
                     'vec1:transport=tap,ifname=tap1,depth=128,gro=1,mac='
                     + node.hardware_address('n', 1)):
            self.assertIn(word, words)
        self.assertEqual({0}, os.sched_getaffinity(self.process.pid))

    def test_another_first_program(self):
        words = self._start(node.NodeSpec('n', 512, words=('a.b=1',)))
        self.assertIn(f'init={paths.KERNEL_SHELL}/stage1.sh', words)
        self.assertIn('a.b=1', words)
        first = self.folder / 'first.sh'
        words = node.kernel_command(
            node.NodeSpec('n', first=first), self.folder, (), self.folder)
        self.assertIn(f'init={first}', words)

    def test_hardware_addresses(self):
        found = {node.hardware_address(name, number)
                 for name in ('a', 'b') for number in range(2)}
        self.assertEqual(4, len(found))
        for address in found:
            self.assertRegex(address, '^02(:[0-9a-f]{2}){5}$')

    def test_disks_are_sparse_and_kept_on_request(self):
        spec = node.NodeSpec('n', 512, disks=(1 << 30, 1 << 20))
        self._start(spec)
        disk = self.folder / 'state/ubdb'
        self.assertEqual(1 << 20, disk.stat().st_size)
        self.assertEqual(0, disk.stat().st_blocks)
        disk.write_bytes(b'kept')
        self.process.end()
        self._start(spec, keep_disks=True)
        self.assertEqual(b'kept', disk.read_bytes())
        self.process.end()
        self._start(spec)
        self.assertEqual(1 << 20, disk.stat().st_size)

    def test_settings_survive_the_shell(self):
        share = self.folder / 'a share'
        init = self.folder / 'init.sh'
        self._start(node.NodeSpec(
            'n', 512, shares=(share,), init=init,
            environ={'TEXT': 'it\'s $HOME "x"\nand more'}))
        shown = subprocess.run(
            ['bash', '-c', ('. "$0"; printf "%s\\0" "$TEXT" "$NODE_INIT" '
                            '"$NODE_NAME" "${NODE_SHARES[@]}" "$NODE_PATH"'),
             self.folder / 'state/node.env'], check=True,
            capture_output=True, text=True).stdout.split('\0')
        self.assertEqual(['it\'s $HOME "x"\nand more', str(init), 'n',
                          str(share)], shown[:4])
        self.assertEqual(f'{paths.VENV}/bin', shown[4].split(':')[0])

    def test_a_path_that_the_kernel_would_split(self):
        with self.assertRaisesRegex(errors.LabError, 'blanks'):
            node.start(node.NodeSpec('n'), self.folder / 'a b',
                       log=self.folder / 'console')

    def test_outermost_folders(self):
        self.assertEqual(
            [Path('/a'), Path('/b/c')],
            node._outermost([Path('/b/c'), Path('/a/x/y'), Path('/a'),
                             Path('/b/c')]))


class TestCpus(Base):
    """Which core a node gets."""

    def test_the_least_taken_core(self):
        with (mock.patch.object(cpus, 'pinned_cores',
                                return_value=[0, 1, 0, 7]),
              mock.patch.object(os, 'sched_getaffinity',
                                return_value={0, 1})):
            self.assertEqual(1, cpus.choose())

    def test_only_cores_that_we_may_use(self):
        with (mock.patch.object(cpus, 'pinned_cores', return_value=[3, 3]),
              mock.patch.object(os, 'sched_getaffinity', return_value={3})):
            self.assertEqual(3, cpus.choose())

    def test_this_process_is_no_node(self):
        self.assertFalse(cpus.is_node(os.getpid()))
        self.assertFalse(cpus.is_node(1 << 30))


class TestHost(Base):
    """What a node needs of the machine."""

    def test_a_missing_program_names_its_package(self):
        with (mock.patch.object(host, '_PROGRAMS', [('no-such', 'a-package')]),
              self.assertRaisesRegex(errors.MissingProgram,
                                     'no-such .* apt-get install a-package')):
            host.check(1)

    def test_more_memory_than_there_is_room_for(self):
        with (mock.patch.object(host, '_PROGRAMS', ()),
              mock.patch.object(os, 'geteuid', return_value=0),
              mock.patch.object(host, '_MODULES', self.folder),
              self.assertRaisesRegex(errors.LabError, 'remount,size=')):
            modules = self.folder / '6.1'
            modules.mkdir()
            (modules / 'modules.dep').touch()
            host.check(1 << 30)

    def test_mappings_for_each_page_of_a_process(self):
        limit = self.folder / 'max_map_count'
        limit.write_text('65530\n')
        host.allow_mappings(1024, limit)
        self.assertEqual(65530 + 1024 * 256, int(limit.read_text()))
        host.allow_mappings(512, limit)
        self.assertEqual(65530 + 1024 * 256, int(limit.read_text()))

    def test_too_few_mappings_and_no_way_to_more(self):
        limit = self.folder / 'max_map_count'
        limit.write_text('65530\n')
        with (mock.patch.object(Path, 'write_text',
                                side_effect=PermissionError('read-only')),
              self.assertRaisesRegex(errors.LabError,
                                     'sysctl vm.max_map_count=327674')):
            host.allow_mappings(1024, limit)

    def libraries(self, flags: str) -> list[Path]:
        """Return what is preloaded on a processor with these flags."""
        cpuinfo = self.folder / 'cpuinfo'
        cpuinfo.write_text(f'flags : {flags}\n')
        with mock.patch.object(paths, 'STATE', self.folder):
            found = host.environ(cpuinfo)['LD_PRELOAD'].split(':')
        return [Path(library) for library in found]

    def test_one_library_where_the_processor_has_no_amx(self):
        [heartbeat] = self.libraries('fpu avx512f')
        self.assertIn('heartbeat', heartbeat.name)

    def test_another_where_it_has(self):
        libraries = self.libraries('fpu amx_tile avx512f')
        made = [library.stat().st_mtime_ns for library in libraries]
        self.assertEqual(libraries, self.libraries('fpu amx_tile avx512f'))
        self.assertEqual(made, [p.stat().st_mtime_ns for p in libraries])
        self.assertEqual([b'\x7fELF'] * 2,
                         [p.read_bytes()[:4] for p in libraries])

    def _timers(self, name: str) -> str:
        """Return the timers of a program of that name, preloaded."""
        program = self.folder / name
        shutil.copy('/bin/cat', program)
        with subprocess.Popen(
                [program], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                env={'LD_PRELOAD': str(self.libraries('')[0])}) as child:
            child.stdin.write(b'it runs\n')
            child.stdin.flush()
            self.assertEqual(b'it runs\n', child.stdout.readline())
            timers = Path('/proc', str(child.pid), 'timers').read_text()
            child.kill()
        return timers

    def test_the_heartbeat_is_the_kernels_alone(self):
        self.assertIn('signal: 14/', self._timers(cpus.NODE_COMM))
        self.assertEqual('', self._timers('other'))


class TestSize(unittest.TestCase):
    """Sizes on the command line."""

    def test_sizes(self):
        for text, size in (('512', 512), ('2K', 2048), ('3m', 3 << 20),
                           ('4G', 4 << 30), ('4GiB', 4 << 30),
                           ('1T', 1 << 40)):
            self.assertEqual(size, cli.size_bytes(text), text)

    def test_no_sizes(self):
        for text in ('', 'G', '0', '-1', '1.5G', '4X'):
            with self.assertRaises(argparse.ArgumentTypeError, msg=text):
                cli.size_bytes(text)

# SPDX-License-Identifier: Apache-2.0
"""Log files: which there are, and what a stream of lines gives."""

import bz2
import errno
import gzip
import io
import lzma
import os
from pathlib import Path
import tempfile
import threading
import unittest
from unittest import mock

from mydriver import exception
from mydriver.trace import files, logs, record, search

LOCAL = 'req-22222222-2222-4222-8222-222222222222'
OTHER = 'req-33333333-3333-4333-8333-333333333333'
PACKED = {'gz': gzip.compress, 'xz': lzma.compress, 'bz2': bz2.compress}
HERE = record.Source('nova-compute', 'nova-compute')


def line(text, request=LOCAL, *, ms=0, pid=7, level='INFO', logger='nova.x'):
    """Return a line as oslo.log writes it."""
    return (f'2026-11-27 01:02:{ms // 1000:02d}.{ms % 1000:03d} {pid} '
            f'{level} {logger} [None {request} u p] {text}\n')


def more(text, *, ms=0, pid=7, logger='nova.x'):
    """Return a line of a traceback as oslo.log writes it."""
    return (f'2026-11-27 01:02:{ms // 1000:02d}.{ms % 1000:03d} {pid} '
            f'ERROR {logger} {text}\n')


def read(content, *words):
    """Return the records of a log."""
    raw = content if isinstance(content, bytes) else content.encode()
    return list(files.records(io.BytesIO(raw), HERE, [
        w.encode() for w in words or (LOCAL,)]))


class RecordsTest(unittest.TestCase):
    """A stream of lines."""

    def test_only_what_has_the_words(self):
        found = read(line('one') + line('two', OTHER) + line('three'))
        self.assertEqual(['one', 'three'], [r.text for r in found])

    def test_a_traceback_between_lines_of_others(self):
        found = read(
            line('Failed', level='ERROR')
            + more('Traceback (most recent call last):')
            + line('unrelated', OTHER, pid=8)
            + more('  File "x"') + more('    raise E', pid=8)
            + more('E: why') + line('later', ms=1) + more('E: not its'))
        self.assertEqual(['Failed', 'later'], [r.text for r in found])
        self.assertEqual(['Traceback (most recent call last):', '  File "x"',
                          'E: why', 'E: not its'], found[0].more)
        self.assertEqual([], found[1].more)

    def test_lines_without_a_head(self):
        found = read(line('Guest XML:') + '<domain>\n</domain>\n'
                     '[pid: 7|app: 0|req: 2/2] 10.0.0.1 () {34 vars}\n'
                     + line('x', OTHER) + 'of the other\n')
        self.assertEqual(['<domain>', '</domain>'], found[0].more)

    def test_a_traceback_is_bounded(self):
        found = read(line('Failed', level='ERROR') + more('x') * 1000)
        self.assertEqual(record.MORE_MAX, len(found[0].more))

    def test_many_blocks(self):
        filler = line('filler ' * 20, OTHER) * 20000
        found = read(filler + line('one') + filler + line('two') + filler)
        self.assertEqual(['one', 'two'], [r.text for r in found])
        self.assertLess(found[0].order, found[1].order)

    def test_a_line_across_blocks_is_whole(self):
        for shift in range(-40, 41, 10):
            head = 'y' * (files._BLOCK + shift - 1) + '\n'
            self.assertEqual(['one'], [
                r.text for r in read(head + line('one'))])

    def test_a_huge_line_is_cut(self):
        huge = line('x' * (3 * files._BLOCK))
        found = read(huge + line('next'))
        self.assertEqual(['next'], [r.text for r in found if r.text[0] == 'n'])
        self.assertLess(max(len(r.text) for r in found), record.LINE_MAX + 1)

    def test_bytes_that_are_no_text(self):
        found = read(line('a').encode() + b'\xff\xfe\x00\x80\n' + line(
            'b').encode().replace(b'b\n', b'b\xc3\x28\n'))
        self.assertEqual(['a', 'b\ufffd('], [r.text for r in found])

    def test_behind_what_syslog_writes(self):
        for prefix in ('Nov 27 01:02:03 compute-7 nova-compute[77]: ',
                       'Nov  7 01:02:03 compute-7 nova-compute: ',
                       '2026-11-27T01:02:03+01:00 compute-7 nova-compute: '):
            found, = read(''.join(prefix + one for one in (
                line('Failed', level='ERROR'), more('Traceback'),
                line('other', OTHER))))
            self.assertEqual(
                ('Failed', ['Traceback'], 'nova-compute on compute-7'),
                (found.text, found.more, found.source.name))

    def test_no_end_of_line(self):
        self.assertEqual(['a'], [r.text for r in read(line('a').rstrip())])


class FindTest(unittest.TestCase):
    """Which files are logs, and of what."""

    def setUp(self):
        super().setUp()
        self.folder = Path(self.enterContext(tempfile.TemporaryDirectory()))

    def test_the_name_tells_the_service(self):
        for name, service, host in (
                ('nova-compute.log', 'nova-compute', ''),
                ('cinder-volume-storage2.log', 'cinder-volume', 'storage2'),
                ('cinder-volume.log.1', 'cinder-volume', ''),
                ('cinder-api.log.12.gz', 'cinder-api', ''),
                ('cinder-volume.log.2.xz', 'cinder-volume', ''),
                ('nova-compute.log.bz2', 'nova-compute', ''),
                ('nova-compute.log.1.zst', 'nova-compute', ''),
                ('nova-api.log-20261127.gz', 'nova-api', ''),
                ('nova-api.log.2026-11-27_10-05', 'nova-api', ''),
                ('nova_api_wsgi.log', 'nova-api', 'wsgi'),
                ('cinder/volume.log', 'cinder-volume', '')):
            found = files.source_of(Path(name))
            self.assertEqual((service, host), (found.service, found.host),
                             name)
        for name in ('core', 'nova-compute.conf', 'x.sqlite'):
            self.assertIsNone(files.source_of(Path(name)))

    def test_units(self):
        for unit, service in (
                ('devstack@c-vol.service', 'cinder-volume'),
                ('openstack-nova-compute.service', 'nova-compute'),
                ('nova-compute.service', 'nova-compute'),
                ('sshd.service', 'sshd')):
            self.assertEqual(service, files.service_of(unit))

    def test_directories_are_searched(self):
        (self.folder / 'nova').mkdir()
        for name in ('nova/nova-api.log', 'nova/nova-api.log.1', 'x.conf'):
            (self.folder / name).write_text('')
        problems = []
        self.assertEqual(
            ['nova-api.log', 'nova-api.log.1'],
            [p.name for p in files.find([str(self.folder)], problems)])
        self.assertEqual([], problems)

    def test_compressed(self):
        for ending, packed in PACKED.items():
            path = self.folder / f'nova-api.log.1.{ending}'
            path.write_bytes(packed(line('one').encode()))
            for named in (path, self.folder):
                found = list(logs.Logs([str(named)]).records([LOCAL]))
                self.assertEqual(['one'], [r.text for r in found])
                self.assertEqual('nova-api', found[0].source.service)
            path.unlink()

    def test_compressed_whatever_the_name_says(self):
        for packed in PACKED.values():
            path = self.folder / 'nova-api.log'
            path.write_bytes(packed(line('one').encode()))
            found = logs.Logs([str(path)]).records([LOCAL])
            self.assertEqual(['one'], [r.text for r in found])

    def test_a_compressed_standard_input(self):
        for packed in PACKED.values():
            found = logs.Logs([logs.STDIN], io.BytesIO(
                packed(line('one').encode())))
            for _ in range(2):
                self.assertEqual(['one'], [
                    r.text for r in found.records([LOCAL])])
            found.close()

    def test_a_compression_that_cannot_be_read(self):
        (self.folder / 'nova-api.log').write_text(line('one'))
        for ending, magic in (('zst', b'\x28\xb5\x2f\xfd'),
                              ('lz4', b'\x04\x22\x4d\x18')):
            path = self.folder / f'nova-api.log.1.{ending}'
            path.write_bytes(magic + b'x' * 99)
            found = logs.Logs([str(self.folder)])
            self.assertEqual(['one'], [
                r.text for r in found.records([LOCAL])])
            problem, = found.problems
            self.assertEqual(str(path), problem.path)
            self.assertIn('not supported; decompress it', problem.reason)
            path.unlink()
            found = logs.Logs([logs.STDIN], io.BytesIO(magic))
            self.assertEqual([], list(found.records([LOCAL])))
            self.assertIn('not supported', found.problems[0].reason)
            found.close()

    def test_damaged_compressed_files_are_reported(self):
        whole = self.folder / 'nova-api.log'
        whole.write_text(line('one'))
        for ending, packed in PACKED.items():
            path = self.folder / f'nova-api.log.1.{ending}'
            raw = packed(line('x').encode() * 9999)
            for damaged in (raw[:-30], raw[:10] + b'\xff' * 50 + raw[60:]):
                path.write_bytes(damaged)
                found = logs.Logs([str(path), str(whole)])
                self.assertIn('one', [
                    r.text for r in found.records([LOCAL])])
                self.assertEqual([str(path)], [
                    p.path for p in found.problems])

    def test_damaged_and_missing_files_are_reported(self):
        whole = self.folder / 'nova-api.log'
        whole.write_text(line('one'))
        broken = self.folder / 'nova-api.log.1.gz'
        broken.write_bytes(gzip.compress(line('x').encode() * 99)[:-30])
        worse = self.folder / 'nova-api.log.2.gz'
        worse.write_bytes(b'\x1f\x8b garbage')
        found = logs.Logs([str(whole), str(broken), str(worse),
                           str(self.folder / 'none.log')])
        self.assertIn('one', [r.text for r in found.records([LOCAL])])
        list(found.records([LOCAL]))
        self.assertEqual(
            ['none.log', 'nova-api.log.1.gz', 'nova-api.log.2.gz'],
            sorted(Path(p.path).name for p in found.problems))

    def test_a_pipe_can_be_read_twice(self):
        pipe = self.folder / 'pipe'
        os.mkfifo(pipe)
        writer = threading.Thread(
            target=pipe.write_text, args=(line('one'),))
        writer.start()
        found = logs.Logs([str(pipe)])
        writer.join()
        for _ in range(2):
            self.assertEqual(['one'], [
                r.text for r in found.records([LOCAL])])
        found.close()

    def test_devices_are_not_read(self):
        problems = []
        self.assertEqual([], files.find(['/dev/zero'], problems))
        self.assertEqual('it is no regular file', problems[0].reason)

    def test_without_permission(self):
        """As another user than root, for whom modes do not count."""
        path = self.folder / 'nova-api.log'
        path.write_text(line('one'))
        denied = PermissionError(errno.EACCES, 'Permission denied')
        said = 'could not be read: this user may not read it '
        for method, named in (('iterdir', self.folder), ('stat', path),
                              ('is_file', self.folder)):
            with (mock.patch.object(Path, method, side_effect=denied),
                  self.assertRaisesRegex(
                      exception.ConfigurationError,
                      f'there is no log in {named}; {named}.* {said}')):
                logs.Logs([str(named)])
        found = logs.Logs([str(path)])
        with mock.patch.object(Path, 'open', side_effect=denied):
            known = list(found.records([LOCAL]))
        self.assertEqual([], known)
        with self.assertRaisesRegex(exception.ConfigurationError,
                                    f'no line of .*; {path} {said}'):
            search.choose([], LOCAL, '', found.problems)

    def test_no_log_at_all(self):
        with self.assertRaisesRegex(exception.ConfigurationError,
                                    'there is no log in'):
            logs.Logs([str(self.folder)])

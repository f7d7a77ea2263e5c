# SPDX-License-Identifier: Apache-2.0
"""What the benchmarks make of fio's output."""

import json
import os
from pathlib import Path
import tempfile
import unittest
from unittest import mock

import ddt

from lab import errors
from tests.bench import fio, ways

IDLE = {'total_ios': 0, 'iops': 0.0, 'bw_bytes': 0, 'io_bytes': 0,
        'lat_ns': {'percentile': {}}}
READ = fio.Pattern('4 KiB random read, 1', 'randread', 4096, 1)


def job(error=0, **sides):
    """Return fio's output of one job."""
    return json.dumps({'fio version': 'fio-3.33', 'jobs': [{
        'jobname': 'bench', 'error': error, 'read': IDLE, 'write': IDLE,
        **sides}]})


def side(iops, median_ns=1_500_000, p99_ns=9_000_000):
    """Return the figures of reads or writes, as fio has them."""
    return {'total_ios': int(iops), 'iops': iops, 'io_bytes': 1 << 20,
            'bw_bytes': int(iops * 4096), 'lat_ns': {'percentile': {
                '50.000000': median_ns, '99.000000': p99_ns}}}


@ddt.ddt
class ParseTest(unittest.TestCase):
    """fio's JSON output."""

    @ddt.data('read', 'write')
    def test_the_side_that_did_something(self, name):
        text = 'note: both iodepth >= 1 are set\n' + job(
            **{name: side(250.5)})
        self.assertEqual(fio.Figures(250.5, 1026048, 0.0015, 0.009),
                         fio.parse(text))

    @ddt.data(
        '', 'fio: failed', '{', '{}', '{"jobs": []}', '{"jobs": [{}]}',
        '{"jobs": [1]}', job(), job(error=5, read=side(1)),
        job(read=side(1), write=side(1)), job(read=side(0.0) | {
            'total_ios': 1}),
        job(read={'total_ios': 1, 'iops': 1.0}),
        job(read=side(1.0) | {'lat_ns': {}}))
    def test_no_figures(self, text):
        with self.assertRaises(fio.FioError):
            fio.parse(text)


class ProgramTest(unittest.TestCase):
    """The program, for which a script stands that knows its options."""

    def setUp(self):
        super().setUp()
        self.folder = Path(self.enterContext(tempfile.TemporaryDirectory()))
        self.enterContext(mock.patch.dict(os.environ, PATH=str(self.folder)))

    def make(self, script):
        """Make a script that is found as fio."""
        path = self.folder / 'fio'
        path.write_text(f'#!/bin/sh\n{script}\n')
        path.chmod(0o755)

    def test_it_is_missing(self):
        with self.assertRaisesRegex(errors.MissingProgram,
                                    'apt-get install fio'):
            fio.check()

    def test_an_engine_is_missing(self):
        self.make("echo 'Available IO engines:\n\tlibaio\n\trados'")
        with self.assertRaisesRegex(fio.FioError, 'has no I/O engine rbd'):
            fio.check()

    def test_it_has_the_engines(self):
        self.make("echo 'Available IO engines:\n\tlibaio\n\trbd'")
        fio.check()

    def test_it_fails(self):
        self.make('echo no such image >&2; exit 1')
        with self.assertRaisesRegex(fio.FioError,
                                    '(?s)status 1.*no such image'):
            fio.measure(fio.block(Path('/dev/x')), READ, 1 << 20, 1)

    def test_no_key_is_an_argument(self):
        self.make(f'echo "$CEPH_CONF" "$@" > {self.folder}/seen\n'
                  f"echo '{job(read=side(7.0))}'")
        place = fio.librbd(Path('/etc/x.conf'), 'volumes', 'cinder', 'image')
        self.assertEqual(7, fio.measure(place, READ, 1 << 20, 1).iops)
        seen = (self.folder / 'seen').read_text().split()
        self.assertEqual('/etc/x.conf', seen[0])
        self.assertLess({'--ioengine=rbd', '--clientname=cinder',
                         '--pool=volumes', '--rbdname=image', '--bs=4096',
                         '--iodepth=1', '--rw=randread'}, set(seen))

    def test_all_must_have_been_verified(self):
        self.make(f"echo '{job(read=side(7.0))}'")
        place = fio.block(Path('/dev/x'))
        fio.verify(place, 1 << 20, '00ff')
        with self.assertRaisesRegex(fio.FioError, 'verified 1048576 of'):
            fio.verify(place, 1 << 21, '00ff')


class ReportTest(unittest.TestCase):
    """The table."""

    def test_medians_and_ratios(self):
        def rounds(*iops):
            return [fio.Figures(i, i * 4096, 1 / i, 2 / i) for i in iops]

        lines = ways.table({READ: {
            'iscsi': rounds(100, 90, 50), 'krbd': rounds(200, 100, 400),
            }}, 'krbd').splitlines()
        self.assertEqual(
            ['90', '0.4', '11.11', '22.22', '0.50', '0.12-0.90'],
            lines[1].partition('iscsi')[2].split())
        self.assertEqual(
            ['200', '0.8', '5.00', '10.00', '1.00', '1.00-1.00'],
            lines[2].partition('krbd')[2].split())

    def test_rounds_are_compared_one_by_one(self):
        one = fio.Figures(1.0, 1.0, 1.0, 1.0)
        with self.assertRaises(ValueError):
            ways.ratios([one], [one, one])

# SPDX-License-Identifier: Apache-2.0
"""Run fio, and read its results."""

from collections.abc import Mapping
import dataclasses
import json
import os
from pathlib import Path
import shutil
import subprocess
from typing import Any

from lab import errors

PROGRAM = 'fio'

#: Engines that are needed: Ceph's librbd, and Linux's own asynchronous I/O.
ENGINES = ('rbd', 'libaio')

#: Time before the measurement in which the device gets warm, seconds.
RAMP_S = 0.5

#: How much longer than its run fio may take, seconds.
_GRACE_S = 120


class FioError(errors.LabError):
    """fio failed, or did not measure anything."""


@dataclasses.dataclass(frozen=True, slots=True)
class Pattern:
    """What is measured.

    :param name: for the reader.
    :param rw: fio's name: ``randread``, ``randwrite``, ``read``, ``write``.
    :param block_bytes: of each request.
    :param depth: number of requests under way.
    """

    name: str
    rw: str
    block_bytes: int
    depth: int


@dataclasses.dataclass(frozen=True, slots=True)
class Place:
    """Where I/O goes: an engine and its options.

    :param options: fio's options by name.
    :param environ: variables that are added to fio's environment.
    """

    options: Mapping[str, str]
    environ: Mapping[str, str] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True, slots=True)
class Figures:
    """What fio measured.

    :param iops: requests per second.
    :param rate: bytes per second.
    :param median_s: median latency from submission to completion, seconds.
    :param p99_s: 99 % of the requests took no longer, seconds.
    """

    iops: float
    rate: float
    median_s: float
    p99_s: float


def librbd(conf: Path, pool: str, user: str, image: str) -> Place:
    """Return an image, reached with librbd as QEMU does.

    :param conf: ceph.conf, which names the keyring; no key is an argument.
    :param user: such as ``cinder`` for ``client.cinder``.
    """
    return Place({'ioengine': 'rbd', 'pool': pool, 'clientname': user,
                  'rbdname': image}, {'CEPH_CONF': str(conf)})


def block(path: Path) -> Place:
    """Return a block device, used without the page cache."""
    return Place({'ioengine': 'libaio', 'direct': '1',
                  'filename': str(path)})


def check() -> None:
    """Check that fio is there and has the engines.

    :raises MissingProgram: when fio is not installed.
    :raises FioError: when it was built without an engine.
    """
    if not shutil.which(PROGRAM):
        raise errors.MissingProgram(PROGRAM, PROGRAM)
    lines = subprocess.run([PROGRAM, '--enghelp'], capture_output=True,
                           text=True, check=False).stdout.split()
    missing = [e for e in ENGINES if e not in lines]
    if missing:
        raise FioError(
            f'{shutil.which(PROGRAM)} has no I/O engine '
            f'{" and no ".join(missing)}. Debian 12\'s package fio has both.')


def measure(place: Place, pattern: Pattern, size_bytes: int, seconds: float
            ) -> Figures:
    """Run one pattern for a time.

    :param size_bytes: of the part that is used, from the start.
    :raises FioError: when fio fails, or does nothing.
    """
    return parse(_run(place, {
        'rw': pattern.rw, 'bs': str(pattern.block_bytes),
        'iodepth': str(pattern.depth), 'size': str(size_bytes),
        'time_based': '1', 'runtime': f'{seconds * 1000:.0f}ms',
        'ramp_time': f'{RAMP_S * 1000:.0f}ms', 'norandommap': '1',
        'randrepeat': '0', 'lat_percentiles': '1', 'clat_percentiles': '0',
        'percentile_list': '50:99'}, seconds + RAMP_S))


def write(place: Place, size_bytes: int, mark: str) -> None:
    """Write a pattern that :func:`verify` recognizes, and flush it.

    :param mark: hexadecimal digits, of which each block is full; an even
        number.
    :raises FioError: when fio fails.
    """
    _run(place, {**_marked(size_bytes, mark), 'rw': 'write',
                 'do_verify': '0', 'end_fsync': '1'})


def verify(place: Place, size_bytes: int, mark: str) -> None:
    """Read all that :func:`write` has written, and compare it.

    :raises FioError: when anything else is there.
    """
    text = _run(place, {**_marked(size_bytes, mark), 'rw': 'read',
                        'do_verify': '1', 'verify_fatal': '1'})
    done = _job(text)['read']['io_bytes']
    if done != size_bytes:
        raise FioError(f'fio verified {done} of {size_bytes} bytes')


def parse(text: str) -> Figures:
    """Return what fio's JSON output says about its only job.

    :raises FioError: when it is none, or when nothing was done.
    """
    job = _job(text)
    try:
        side, = (job[s] for s in ('read', 'write') if job[s]['total_ios'])
        if not side['iops'] > 0:
            raise ValueError('it did nothing')
        times = side['lat_ns']['percentile']
        return Figures(side['iops'], side['bw_bytes'],
                       times['50.000000'] / 1e9, times['99.000000'] / 1e9)
    except (KeyError, TypeError, ValueError) as e:
        raise FioError(f'fio\'s output has no figures: {e!r}') from e


def _marked(size_bytes: int, mark: str) -> dict[str, str]:
    return {'size': str(size_bytes), 'bs': str(1 << 20), 'iodepth': '4',
            'verify': 'pattern', 'verify_pattern': f'0x{mark}'}


def _run(place: Place, options: Mapping[str, str], seconds: float = 0) -> str:
    """Run fio; return its JSON output.

    :raises FioError: when it fails or does not end, with what it said.
    """
    # Threads, because librbd does not survive fork(). The clock is named,
    # because fio would otherwise calibrate the processor's at each start.
    argv = [PROGRAM, '--output-format=json', '--name=bench', '--thread=1',
            '--clocksource=clock_gettime', *(
                f'--{name}={value}'
                for name, value in {**place.options, **options}.items())]
    try:
        done = subprocess.run(
            argv, capture_output=True, stdin=subprocess.DEVNULL, text=True,
            env={**os.environ, **place.environ}, timeout=seconds + _GRACE_S,
            check=False)
    except subprocess.TimeoutExpired as e:
        raise FioError(f'{" ".join(argv)}: {e}') from e
    if done.returncode:
        raise FioError(f'{" ".join(argv)}: status {done.returncode}\n'
                       f'{done.stdout}{done.stderr}')
    return done.stdout


def _job(text: str) -> dict[str, Any]:
    """Return the only job; notes may come before the JSON text.

    :raises FioError: when it failed, or when there is none.
    """
    try:
        job, = json.loads(text[text.index('{'):])['jobs']
        if job['error']:
            raise ValueError(os.strerror(job['error']))
    except (KeyError, TypeError, ValueError) as e:
        raise FioError(f'fio\'s output is not that of a job: {e}\n{text}'
                       ) from e
    return dict(job)

# SPDX-License-Identifier: Apache-2.0
"""The data path of one image in Ceph, in three ways: ``make bench-path``.

native
    librbd, as QEMU uses it for a guest. Its cache is off, as QEMU has it with
    Nova's default for volumes, ``cache=none``.
iscsi
    The image mapped by a gateway, exported by LIO at the gateway's address,
    and logged in to by open-iscsi on the same node.
krbd
    The device of the kernel's client, without LIO: the driver's local use of
    a volume.

One way at a time has the image. In each round, each way is set up anew and
does all patterns; the order changes from round to round, so that what else
the machine does hits all alike. Before that, each way must read what each of
the others has written.
"""

import argparse
from collections.abc import Iterator
import contextlib
import os
from pathlib import Path
import secrets
import sys
import time
import unittest
import uuid

from lab import errors
from mydriver.stores import names
from tests.bench import fio, ways
from tests.functional import base
from tests.functional.ceph import base as ceph_base
from tests.functional.ceph import gateways

KIB, MIB = 1 << 10, 1 << 20
SIZE = 256 * MIB
MARKED = 16 * MIB

PATTERNS = (
    *(fio.Pattern(f'4 KiB random {name}, {depth:2}', rw, 4 * KIB, depth)
      for name, rw in (('read', 'randread'), ('write', 'randwrite'))
      for depth in (1, 16)),
    fio.Pattern('1 MiB sequential read,  4', 'read', MIB, 4),
    fio.Pattern('1 MiB sequential write,  4', 'write', MIB, 4))

NATIVE, ISCSI, KRBD = 'native', 'iscsi', 'krbd'
WAYS = (NATIVE, ISCSI, KRBD)


class PathBench(gateways.GatewayCase):
    """One gateway, one image, three ways.

    :param rounds: how often each way does all patterns.
    :param seconds: of each pattern.
    """

    def __init__(self, rounds: int, seconds: float) -> None:
        super().__init__('measure')
        self.rounds = rounds
        self.seconds = seconds

    def setUp(self) -> None:
        """Start a gateway, and make an image."""
        super().setUp()
        self.start()
        self.volume_id = str(uuid.uuid4())
        self.image = names.volume_name(self.volume_id)
        self.store.create(self.image, SIZE)
        self.uncached = Path('/run/bench-ceph.conf')
        self.uncached.write_text(self.conf.read_text()
                                 + '[client]\nrbd_cache = false\n')
        self.addCleanup(self.uncached.unlink)

    @contextlib.contextmanager
    def way(self, name: str) -> Iterator[fio.Place]:
        """Reach the image in one way, and in no other."""
        with {NATIVE: self._native, ISCSI: self._iscsi, KRBD: self._krbd
              }[name]() as place:
            yield place

    @contextlib.contextmanager
    def _native(self) -> Iterator[fio.Place]:
        yield fio.librbd(self.uncached, ceph_base.VOLUMES, ceph_base.USER,
                         self.image)

    @contextlib.contextmanager
    def _iscsi(self) -> Iterator[fio.Place]:
        self.service.create_export(self.volume_id)
        self.service.initialize_connection(self.volume_id, self.me)
        self.login()
        try:
            yield fio.block(self.disk(self.volume_id))
        finally:
            self.logout()
            base.run('udevadm', 'settle')
        self.service.terminate_connection(self.volume_id, self.me)
        self.assertTrue(self.service.remove_export(self.volume_id))

    @contextlib.contextmanager
    def _krbd(self) -> Iterator[fio.Place]:
        with self.service.local_device(self.volume_id) as device:
            yield fio.block(Path(device.path))

    def same_image(self) -> None:
        """Check that each way reads what each other way has written.

        What is compared is different before.

        :raises FioError: when one does not.
        """
        for writer in WAYS:
            mark = secrets.token_hex(16)
            readers = [w for w in WAYS if w != writer]
            with (self.way(readers[0]) as place,
                  self.assertRaisesRegex(fio.FioError, 'got pattern')):
                fio.verify(place, MARKED, mark)
            with self.way(writer) as place:
                fio.write(place, MARKED, mark)
            for reader in readers:
                with self.way(reader) as place:
                    fio.verify(place, MARKED, mark)
            say(f'{writer} has written what {" and ".join(readers)} read')

    def measure(self) -> None:
        """Measure, and print a table."""
        with self.way(KRBD) as place:
            fio.write(place, SIZE, secrets.token_hex(16))
        self.same_image()
        results: dict[fio.Pattern, dict[str, list[fio.Figures]]] = {
            p: {w: [] for w in WAYS} for p in PATTERNS}
        for number in range(self.rounds):
            first = number % len(WAYS)
            order = WAYS[first:] + WAYS[:first]
            start = time.monotonic()
            for name in order:
                with self.way(name) as place:
                    for pattern in PATTERNS:
                        results[pattern][name].append(fio.measure(
                            place, pattern, SIZE, self.seconds))
            say(f'round {number + 1} of {self.rounds}: {", ".join(order)}: '
                f'{time.monotonic() - start:.0f} s')
        say(f'\nMedians of {self.rounds} rounds of {self.seconds:g} s; the '
            'number behind a pattern is the queue depth.\nThe ratio is that '
            'of the rates, to krbd in the same round: median and range.\n')
        say(ways.table(results, KRBD))


def say(text: str) -> None:
    """Print at once."""
    print(text, flush=True)


def main() -> int:
    """Run from the command line; returns the exit status."""
    parser = argparse.ArgumentParser(
        description='Run it in a kernel node with a Ceph, see the Makefile.')
    parser.add_argument('--rounds', type=int, default=5, metavar='N',
                        help='default: %(default)s')
    parser.add_argument('--seconds', type=float, default=2.5, metavar='S',
                        help='of each pattern (default: %(default)g)')
    args = parser.parse_args()
    try:
        fio.check()
        if not base.in_node() or not os.environ.get('CEPH_CONF'):
            raise errors.LabError('This needs a kernel node with a Ceph: run '
                                  'make bench-path.')
    except errors.LabError as e:
        print(f'bench-path: {e}', file=sys.stderr)
        return e.exit_status
    suite = unittest.TestSuite([PathBench(args.rounds, args.seconds)])
    return not unittest.TextTestRunner().run(suite).wasSuccessful()


if __name__ == '__main__':
    sys.exit(main())

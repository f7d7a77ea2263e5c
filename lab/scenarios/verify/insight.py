# SPDX-License-Identifier: Apache-2.0
"""What an operator sees: traces of attaches that failed, and ``top``."""

from collections.abc import Iterator
import contextlib
import re

from lab import paths
from lab.cloud import driver, settings
from lab.cloud.config import cinder
from lab.scenario import trace_page, writer
from lab.scenario.expect import expect
from lab.scenarios.verify.bench import Bench
from lab.scenarios.verify.refusals import Refusals

#: The pages of the attaches that the last verification let fail: on the
#: storage host, and on the compute host.
REFUSED = paths.STATE / 'verify-refused.html'
UNREACHABLE = paths.STATE / 'verify-unreachable.html'

#: Seconds between the two looks of ``top``.
_INTERVAL_S = 10


class Insight:
    """Lets attaches of a server fail, and asks the driver's commands why.

    :param bench: has a server and two volumes.
    :param refusals: stops targets.
    """

    def __init__(self, bench: Bench, refusals: Refusals) -> None:
        self._bench = bench
        self._refusals = refusals

    def refused(self) -> str:
        """Attach while the target is stopped; the trace names it."""
        with self._refusals.stopped() as volume_id:
            self._fail(volume_id)
        return trace_page.write_failed(
            self._bench.cloud.logs(), volume_id, REFUSED, 'cinder-volume',
            *driver.REFUSALS[:1])

    def unreachable(self) -> str:
        """Attach while no portal can be reached; the trace names it."""
        volume_id = self._bench.volumes[1]
        with self._routed_away():
            self._fail(volume_id)
        return trace_page.write_failed(
            self._bench.cloud.logs(), volume_id, UNREACHABLE, 'nova-compute',
            min(self._refusals.portals()))

    @contextlib.contextmanager
    def _routed_away(self) -> Iterator[None]:
        """Leave the compute node without a route to the portals."""
        self._route('add')
        try:
            yield
        finally:
            self._route('del')

    def _route(self, act: str) -> None:
        for host in {p.rpartition(':')[0] for p in self._refusals.portals()}:
            self._bench.look.run('compute', 'ip', 'route', act,
                                 'unreachable', f'{host}/32')

    def top(self) -> str:
        """Let a guest write; ``top`` shows what it writes."""
        bench = self._bench
        volume_id = bench.new_volume()
        token = bench.observer.mark(volume_id, writer.WORD)
        bench.clients.attach('', bench.server, volume_id)
        writing = writer.Writer(bench.guest, 'vdc', token)
        begin = writing.report()
        printed = bench.look.run(
            'storage', driver.PROGRAM, 'top', '--long', '--count', '1',
            '--interval', str(_INTERVAL_S), '--config-file',
            str(settings.Layout().conf('cinder',
                                       cinder.volume_conf('storage'))))
        end = writing.report()
        bench.clients.detach('', bench.server, volume_id)
        bench.guest.wait('disk', 'vdc', 'removed')
        told = (writer.count(end) - writer.count(begin)) / (
            end.uptime_s - begin.uptime_s)
        return (check_top(printed, volume_id, bench.volumes[0], told)
                + f'; the guest tells {told:.0f} records/s')

    def _fail(self, volume_id: str) -> None:
        """Attach a volume; the attach has to fail and to leave nothing."""
        bench = self._bench
        before = bench.look.configfs(), bench.observer.exports()
        bench.clients.begin_attach(bench.server, volume_id)
        bench.clients.wait_volume(volume_id, 'available',
                                  given_up=('in-use',))
        after = bench.look.configfs(), bench.observer.exports()
        expect(before == after, 'configfs or journal changed: '
               f'{set(before[0].items()) ^ set(after[0].items())} '
               f'{set(before[1]) ^ set(after[1])}')


def check_top(printed: str, busy: str, idle: str, told: float) -> str:
    """Check what ``top`` has printed about two volumes.

    The guest writes each record and reads it back, both past its caches, so
    that a record is at least two commands.

    :param busy: a volume that its guest writes to.
    :param idle: a volume that its guest does not use.
    :param told: records per second, as the guest tells it.
    :returns: the head of the table and the line of the busy volume.
    :raises NotProven: when the table shows something else.
    """
    lines = printed.strip().splitlines()
    rows = {words[0]: words for line in lines if (words := line.split())}
    expect({busy, idle} <= set(rows), f'volumes are missing: {printed}')
    order = [words[0] for line in lines if (words := line.split())
             and words[0] in (busy, idle)]
    expect(order == [busy, idle], f'not sorted by what is used: {printed}')
    rate, still = (float(rows[v][2]) for v in (busy, idle))
    # Looks and reports do not cover the same time, on a machine of uneven
    # speed.
    expect(told / 2 < rate < told * 20, f'{told:.1f} records/s: {printed}')
    expect(still == 0, f'the idle volume is used: {printed}')
    return '; '.join((*lines[:2], re.sub(' +', ' ', ' '.join(rows[busy]))))

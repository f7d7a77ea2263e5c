# SPDX-License-Identifier: Apache-2.0
"""The steps: attach, lose a gateway again and again, detach."""

from collections.abc import Callable, Sequence
import functools
import os
import time

from lab import process
from lab.cloud import api
from lab.scenario import clients, console, observe, report, writer
from lab.scenario.expect import NotProven, expect
from lab.scenarios.takeover import cases, owners, table

_GIB = 1 << 30

#: How long a takeover may take before the run counts as failed, seconds.
_TAKEOVER_S = 120


class Story:
    """The steps and what they pass on to each other.

    :param chosen: the cases, in order.
    :param cloud: the cloud that is up.
    :param told: gets the timings.
    """

    def __init__(self, chosen: Sequence[cases.Case], cloud: api.Cloud,
                 told: report.Report) -> None:
        self._cases = chosen
        self._cloud = cloud
        self._told = told
        self._observer = observe.Observer(cloud)
        self._owners: owners.Owners
        self._clients: clients.Clients
        self._before: observe.Seen
        self._writer: writer.Writer
        self._server = self._volume = self._target = ''
        self._rows: list[table.Row] = []
        #: Brings back the gateway that a case has taken away.
        self._bring_back: Callable[[], None] | None = None

    def steps(self) -> list[tuple[str, Callable[[], str]]]:
        """Return the steps; each needs those before it."""
        return [
            ('The gateways share the targets', self.start),
            ('A server, and a volume that it writes to all the time',
             self.write),
            *((f'{number}: {case.text}', functools.partial(self.run, case))
              for number, case in enumerate(self._cases, 1)),
            ('Detach the volume', self.detach),
        ]

    def last_steps(self) -> list[tuple[str, Callable[[], str]]]:
        """Return the steps that run in any case."""
        return [('Delete', self.clean_up),
                ('Nothing is left on all nodes', self.nothing_left),
                ('How long the writes paused', self.results)]

    def start(self) -> str:
        """Wait until all targets are served, and see what there is."""
        self._clients = clients.Clients(self._cloud.connect())
        self._owners = owners.Owners(self._cloud, self._observer)
        served = self._owners.wait_shared()
        self._owners.wait_clean()
        self._clients.wait_backend()
        self._before = self._observer.look()
        return served

    def write(self) -> str:
        """Boot a server, attach a volume, and let it write."""
        self._server = self._clients.create_server(
            'takeover', image_id=api.IMAGE_ID)
        self._volume = self._clients.create_volume('takeover', 1)
        token = self._observer.mark(self._volume, writer.WORD)
        self._clients.wait_server(self._server)
        guest = self._clients.guest('takeover', self._server)
        guest.wait('disk', 'vda', 'booted')
        self._told.timings.append(self._clients.attach(
            'attach', self._server, self._volume))
        self._writer = writer.Writer(guest, 'vdb', token)
        begin = self._writer.report()
        proof = self._observer.attached(self._volume, _GIB)
        self._target = next(
            iqn for iqn, found in self._observer.look().target[
                'targets'].items() if found['luns'])
        return f'{self._writer.since(begin)}; {proof}'

    def run(self, case: cases.Case) -> str:
        """Lose the gateway that serves the volume, and get it back."""
        lost, epoch = self._owners.record(self._target)
        begin = self._writer.report()
        began_s = time.monotonic()
        self._bring_back = functools.partial(case.back, self._cloud, lost)
        case.lose(self._cloud, lost)
        owner = process.wait_for(
            lambda: self._owner_since(epoch), 'the next owner', _TAKEOVER_S,
            poll_s=0.1, details=lambda: str(self._owners.all()))
        owned_s = time.monotonic() - began_s
        paused = self._progress(begin)
        last = self._check()
        cases.wait_out(case, began_s)
        begin = self._writer.report()
        self._bring_back()
        self._bring_back = None
        shared = self._owners.wait_shared()
        clean = self._owners.wait_clean()
        back = self._progress(begin)
        last = max(last, self._check())
        self._rows.append(table.Row(
            case.text, case.is_planned, f'{lost}>{owner}', paused.longest_ms,
            back.longest_ms, last, os.getloadavg()[0]))
        return (f'{lost} to {owner} after {owned_s:.1f} s, the writes paused '
                f'{paused.longest_ms / 1000:.1f} s, and '
                f'{back.longest_ms / 1000:.1f} s when it came back; '
                f'{last} records; {shared}; {clean}')

    def _owner_since(self, epoch: int) -> str:
        """Return the owner, which may be the same one after a reboot."""
        owner, now = self._owners.record(self._target)
        return owner if now > epoch else ''

    def _progress(self, begin: console.Line) -> writer.Progress:
        """Return the writes since a report, until they certainly go on.

        Reports may be seen seconds late, so what the volume has by now tells
        which of them is one of after the pause.
        """
        written = self._records(writer.count(begin))
        while writer.count(self._writer.report()) <= written:
            pass
        return self._writer.since(begin, float('inf'))

    def _check(self) -> int:
        """Check the latest records in Ceph; return the last one's number."""
        reported = writer.count(self._writer.report())
        return self._records(reported)

    def _records(self, reported: int) -> int:
        path, = (p for p in self._observer.backings.more()
                 if p.endswith(f'/volume-{self._volume}'))
        return writer.check_records(
            self._observer.backings.text(path, writer.FIRST_BLOCK,
                                         writer.PLACES),
            self._writer.token, reported)

    def detach(self) -> str:
        """Detach the volume, and read the records."""
        reported = writer.count(self._writer.report())
        self._told.timings.append(self._clients.detach(
            'detach', self._server, self._volume))
        proof = self._observer.detached(self._volume)
        last = self._records(reported)
        return f'{proof}; {last} records, the last {writer.PLACES} are there'

    # -- the end

    def clean_up(self) -> str:
        """Delete what was made, attached or not."""
        if self._bring_back is not None:
            self._bring_back()
        for name in self._cloud.options.gateway_nodes:
            self._cloud.join(name)
        if self._server:
            self._clients.delete_server(self._server)
        if self._volume:
            self._clients.wait_volume(self._volume, 'available',
                                      timeout_s=120)
            self._clients.delete_volume(self._volume)
        return '1 server, 1 volume'

    def nothing_left(self) -> str:
        """Check all nodes for leftovers."""
        if not hasattr(self, '_before'):
            raise NotProven('what there was before is not known')
        return observe.nothing_left(self._before, self._observer.look())

    def results(self) -> str:
        """Print the table, and check the pauses."""
        print(table.text(self._rows))
        expect(len(self._rows) == len(self._cases),
               f'{len(self._rows)} of {len(self._cases)} runs')
        return table.check(self._rows)

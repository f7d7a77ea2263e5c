# SPDX-License-Identifier: Apache-2.0
"""The steps: work under kills, delete everything, look what is left."""

from collections.abc import Callable
import random
import secrets
import threading
import time

from lab import process
from lab.cloud import api
from lab.cloud.node import kinds
from lab.scenario import clients, observe, report
from lab.scenario.expect import NotProven, expect
from lab.scenarios.cluster import kills, ledger, left, volumes, worker
from lab.scenarios.takeover import owners

#: How long it may take until everything is deleted, seconds.
_DELETE_S = 600.0
#: How long an image may stay in the trash after its last clone, seconds:
#: the services look once a minute.
_TRASH_S = 180
#: How long sessions of services that were killed may last, seconds.
_SESSIONS_S = 120


class Story:
    """The steps and what they pass on to each other.

    :param duration_s: how long services are killed.
    :param workers: how many work at the same time.
    :param seed: of the random choices; None for another one each time.
    :param cloud: the cloud that is up.
    :param told: gets the timings.
    """

    def __init__(self, duration_s: float, workers: int, seed: int | None,
                 cloud: api.Cloud, told: report.Report) -> None:
        del told
        self._duration_s = duration_s
        self._workers = workers
        self._seed = secrets.randbelow(10000) if seed is None else seed
        self._cloud = cloud
        self._ledger = ledger.Ledger()
        self._observer = observe.Observer(cloud)
        self._api: volumes.Volumes
        self._before: observe.Seen

    def steps(self) -> list[tuple[str, Callable[[], str]]]:
        """Return the steps; each needs those before it."""
        return [
            ('The services are a cluster', self.start),
            ('Operations of every kind, while services are killed',
             self.work),
        ]

    def last_steps(self) -> list[tuple[str, Callable[[], str]]]:
        """Return the steps that run in any case."""
        return [('Each failure is one of a service that was killed',
                 self.explained),
                ('Reset and delete what failed', self.delete),
                ('No intent, no session of the dead, no row of the journal',
                 self.nothing_in_ceph),
                ('Nothing is left on all nodes', self.nothing_left)]

    def start(self) -> str:
        """See that all services are up, and make the second volume type."""
        connected = self._cloud.connect()
        clients.Clients(connected).wait_backend()
        served = owners.Owners(self._cloud, self._observer).wait_shared()
        self._api = volumes.Volumes(connected, ledger.Ledger())
        rows = [s for s in self._api.ask('GET', '/os-services')['services']
                if s['binary'] == 'cinder-volume']
        names = {s['cluster'] for s in rows if s['state'] == 'up'}
        expect(len(rows) == self._cloud.options.volumes and len(names) == 1,
               f'the services are no cluster: {rows}')
        if volumes.TYPE not in [
                t.name for t in connected.block_storage.types()]:
            connected.block_storage.create_type(
                name=volumes.TYPE, extra_specs={
                    'volume_backend_name': api.VOLUME_TYPE})
        # What failed stays until the end.
        self._api.ask('PUT', f'/os-quota-sets/{connected.current_project_id}',
                      {'quota_set': dict.fromkeys(
                          ('volumes', 'snapshots', 'gigabytes'), -1)})
        self._before = self._observer.look()
        return (f'{", ".join(s["host"] for s in rows)} are {names.pop()}; '
                f'targets: {served}; seed {self._seed}')

    def work(self) -> str:
        """Work, and kill services, for the whole time."""
        end = threading.Event()
        working = [worker.Worker(
            number, self._cloud.connect(), self._ledger,
            random.Random(self._seed + number), end)
            for number in range(1, self._workers + 1)]
        killer = kills.Killer(self._cloud, self._ledger,
                              random.Random(self._seed))
        for one in working:
            one.start()
        killer.start()
        deadline = time.monotonic() + self._duration_s
        try:
            while time.monotonic() < deadline and not any(
                    w.error for w in working):
                time.sleep(1)
        finally:
            end.set()
            killer.stop()
            for one in working:
                one.join()
        if wrong := [w.error for w in working if w.error]:
            raise NotProven(f'a worker failed: {wrong[0]!r}') from wrong[0]
        expect(self._ledger.kills, 'no service was killed')
        return (f'{len(self._ledger.operations)} operations, '
                f'{len(self._ledger.failed())} failed, '
                f'{len(self._ledger.kills)} kills: {self._ledger.counts()}')

    def explained(self) -> str:
        """Check by the logs that each failed operation was cut by a kill."""
        failed = self._ledger.failed()
        nodes = ledger.nodes_of(
            (r for o in failed for r in o.requests),
            {name: self._cloud.log(kinds.log_of(name))
             for name in self._cloud.options.volume_nodes})
        odd = self._ledger.unexplained(nodes)
        expect(not odd, f'{len(odd)} of {len(failed)} failures have another '
               'cause:\n  ' + '\n  '.join(odd))
        return f'{len(failed)} of {len(failed)}'

    def delete(self) -> str:
        """Delete everything, as an administrator does after crashes."""
        said: list[str] = []
        count = 0
        deadline = time.monotonic() + _DELETE_S
        while todo := self._remaining():
            expect(time.monotonic() < deadline,
                   f'{len(todo)} cannot be deleted: {said}')
            for kind, its_id in todo:
                count += self._api.remove(kind, its_id, said)
        expect(not said, f'{len(said)} needed more than a reset: {said}')
        return f'{count} volumes and snapshots'

    def _remaining(self) -> list[tuple[str, str]]:
        """Return what there is; snapshots first, without attachments."""
        for attachment in self._api.listed('attachment'):
            self._api.ask('DELETE', f'/attachments/{attachment["id"]}')
        return [(kind, one['id']) for kind in ('snapshot', 'volume')
                for one in self._api.listed(kind)]

    def nothing_in_ceph(self) -> str:
        """Check what the driver keeps beside images."""
        with self._cloud.ceph() as ceph:
            process.wait_for(
                lambda: len(left.sessions(ceph)) <= len(
                    self._cloud.options.volume_nodes),
                'sessions of dead services to end', _SESSIONS_S, poll_s=2.0,
                details=lambda: str(left.sessions(ceph)))
            found = left.found(ceph)
        expect(not found, f'left in Ceph: {found}')
        return '0 intents, 0 rows, 0 attaches'

    def nothing_left(self) -> str:
        """Compare all nodes with how they were, once the trash is empty."""
        deadline = time.monotonic() + _TRASH_S
        while True:
            try:
                return observe.nothing_left(self._before,
                                            self._observer.look())
            except observe.NotSeen:
                if time.monotonic() > deadline:
                    raise
            time.sleep(5.0)

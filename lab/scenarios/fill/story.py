# SPDX-License-Identifier: Apache-2.0
"""The steps of filling a store, in order."""

from collections.abc import Callable
import datetime
import hashlib
from typing import Any

from lab import process
from lab.cloud import api
from lab.scenario import clients, observe, report
from lab.scenario.console import Guest, Line
from lab.scenario.expect import NotProven, expect, expect_equal
from lab.scenarios.fill import place

#: The backend reports once a minute.
_REPORT_S = 180
#: The guest writes the whole store, in software emulation.
_FILL_S = 900
#: Number of slots in one checksum.
_AT_ONCE = 32

_DOMAIN = ('d=$(virsh list --all --name | head -n 1); '
           'virsh domstate --reason "$d"; virsh domblkerror "$d"')


class Story:
    """The steps and what they pass on to each other.

    :param cloud: the cloud that is up, with a small store.
    :param told: not used; other scenarios note timings in it.
    """

    def __init__(self, cloud: api.Cloud, told: report.Report) -> None:
        del told
        self._cloud = cloud
        self._observer = observe.Observer(cloud)
        self._place = place.PLACES[cloud.options.store]
        self._volumes: dict[str, str] = {}
        self._server = ''
        self._guest: Guest
        self._clients: clients.Clients
        self._api: Any = None
        self._before: observe.Seen
        self._written: Line
        self._hog: Line

    def steps(self) -> list[tuple[str, Callable[[], str]]]:
        """Return the steps; each needs those before it."""
        return [
            ('A server with a small volume, the bystander', self.innocent),
            ('The scheduler sees room', lambda: self.reported('up', True)),
            ('The guest fills a volume of 2 GiB, which is detached',
             self.ballast),
            ('The guest fills one of 1 GiB until a write fails', self.hog),
            ('The host shows how full it is, and the guest runs', self.look),
            ('The bystander can be read, and written in place',
             self.patterns),
            ('The full volume has what was written to it', self.contents),
            ('The scheduler sees that the store is full',
             lambda: self.reported(self._place.state, False)),
            ('A new volume is refused', self.no_volume),
            ('A snapshot is refused', self.no_snapshot),
            ('Make room as the operations guide says', self.recover),
            ('The guest continues by itself and writes the rest',
             self.goes_on),
            ('The bystander can be read and written', self.patterns),
            ('The whole volume has what was written to it', self.contents),
            ('The scheduler sees room again',
             lambda: self.reported('up', True)),
            ('A new volume is created, written to and snapshotted',
             self.new_volume),
        ]

    def last_steps(self) -> list[tuple[str, Callable[[], str]]]:
        """Return the steps that run in any case."""
        return [('Detach and delete', self.clean_up),
                ('Nothing is left on both nodes', self.nothing_left)]

    def innocent(self) -> str:
        """Boot a server and let it write a pattern."""
        connected = self._cloud.connect()
        self._api = connected.block_storage
        self._clients = clients.Clients(connected)
        self._before = self._observer.look()
        self._server = self._clients.create_server(
            'fill', image_id=api.IMAGE_ID)
        self._volumes['innocent'] = self._clients.create_volume('innocent', 1)
        self._clients.wait_server(self._server)
        self._guest = self._clients.guest('fill', self._server)
        self._guest.wait('disk', 'vda', 'booted')
        self._clients.attach('', self._server, self._volumes['innocent'])
        self._written = self._guest.wait('disk', 'vdb', 'wrote')
        return self._written.text

    def reported(self, state: str, room: bool) -> str:
        """Wait until the scheduler sees a state, and room or no room."""
        def told() -> dict[str, Any] | None:
            found = self._pool()
            fits = (_free_gib(found) >= 0.25) is room
            return found if fits and found['backend_state'] == state else None

        seen = process.wait_for(told, f'pool to be {state}, room: {room}',
                                _REPORT_S, poll_s=2)
        return ', '.join(f'{k} {seen[k]}' for k in (
            'backend_state', 'total_capacity_gb', 'free_capacity_gb',
            'provisioned_capacity_gb'))

    def _await_room(self, size_gib: int) -> None:
        """Wait until the scheduler has a new report with enough room.

        Until then, it subtracts what it has allocated since the last one.
        """
        now = datetime.datetime.now(datetime.UTC).replace(tzinfo=None)

        def told() -> bool:
            found = self._pool()
            return (_free_gib(found) >= size_gib
                    and reported_at(found) > now)

        process.wait_for(told, f'a new report with room for {size_gib} GiB',
                         _REPORT_S, poll_s=2)

    def _pool(self) -> dict[str, Any]:
        """Return what the scheduler knows about the only pool."""
        pools = self._get('/scheduler-stats/get_pools?detail=true')['pools']
        return next((p['capabilities'] for p in pools), {})

    def _get(self, path: str) -> Any:
        response = self._api.get(path, microversion='3.3')
        response.raise_for_status()
        return response.json()

    # -- full

    def ballast(self) -> str:
        """Fill a volume that will be deleted to make room."""
        # Both are created while there is room for each.
        for name, size_gib in (('ballast', 2), ('hog', 1)):
            self._await_room(size_gib)
            self._volumes[name] = self._clients.create_volume(name, size_gib)
        self._attach_to_fill('ballast')
        line = self._guest.wait('disk', 'vdc', 'filled', timeout_s=_FILL_S)
        self._clients.detach('', self._server, self._volumes['ballast'])
        self._guest.wait('disk', 'vdc', 'removed')
        return line.text

    def hog(self) -> str:
        """Fill a volume for which there is no room."""
        self._attach_to_fill('hog')
        self._hog = self._guest.wait('disk', 'vdc', 'refused',
                                     timeout_s=_FILL_S)
        return self._hog.text

    def _attach_to_fill(self, name: str) -> None:
        volume_id = self._volumes[name]
        self._observer.mark(volume_id, 'mydriver-fill')
        self._clients.attach('', self._server, volume_id)

    def look(self) -> str:
        """Quote the storage host, and libvirt about the guest."""
        full = self._observer.run('storage', *self._place.look).split('\n')
        domain = self._observer.run('compute', 'bash', '-c', _DOMAIN)
        expect('running' in domain, f'the guest does not run: {domain}')
        return f'{" ".join(full[-2].split())}; {" ".join(domain.split())}'

    def patterns(self) -> str:
        """Wait until the pattern was read, and written again."""
        said = []
        for verb in ('verified', 'rewrote'):
            line = self._guest.wait('disk', 'vdb', verb)
            for field in ('token', 'bytes', 'sha256'):
                expect_equal(self._written.fields[field], line.fields[field],
                             f'{field} of the pattern')
            said.append(f'{line.text[:60]}... ok')
        return '; '.join(said)

    def contents(self) -> str:
        """Compare all that the guest has written with the backing."""
        path, _ = self._observer.backing_file(self._volumes['hog'])
        slots, mib = (int(self._hog.fields[k]) for k in ('slots', 'slot_mib'))
        slot = pattern(self._hog.fields['token']) * (mib // 4)
        for first in range(1, slots, _AT_ONCE):
            count = min(_AT_ONCE, slots - first)
            wanted = hashlib.sha256()
            for _ in range(count):
                wanted.update(slot)
            expect_equal(wanted.hexdigest(), self._observer.checksum(
                path, first * mib, count * mib),
                f'checksum of slots from {first} on')
        return f'{(slots - 1) * mib} MiB of {path} are what the guest wrote'

    def no_volume(self) -> str:
        """Request a volume; quote the message to the user."""
        made = self._api.create_volume(name='none', size=1,
                                       volume_type=api.VOLUME_TYPE)
        self._await_error(self._api.get_volume, made.id)
        told = process.wait_for(
            lambda: [m['user_message'] for m in
                     self._get('/messages')['messages']
                     if m['resource_uuid'] == made.id],
            'a message to the user', 30)
        self._clients.delete_volume(made.id)
        return f'status error; message: {told[0]}'

    def no_snapshot(self) -> str:
        """Request a snapshot; quote the log, as there is no message."""
        made = self._api.create_snapshot(
            volume_id=self._volumes['innocent'], name='none', force=True)
        self._await_error(self._api.get_snapshot, made.id)
        refusal = f'Cannot place snapshot {made.id} '
        quoted = observe.first_match(
            self._cloud.log('cinder-scheduler'), 'ERROR', refusal)
        if quoted is None:
            raise NotProven(f'status error, but the log lacks "{refusal}"')
        self._delete_snapshot(made.id)
        return f'status error; log: {quoted[quoted.index(refusal):]}'

    @staticmethod
    def _await_error(get: Callable[[str], Any], resource_id: str) -> None:
        def ended() -> str | None:
            status = str(get(resource_id).status)
            return None if status == 'creating' else status

        status = process.wait_for(ended, f'{resource_id} to end', 120,
                                  poll_s=0.5)
        expect_equal('error', status, 'status')

    def _delete_snapshot(self, snapshot_id: str) -> None:
        self._api.delete_snapshot(snapshot_id)
        self._api.wait_for_delete(
            self._api.get_snapshot(snapshot_id), interval=1, wait=300)

    # -- recovered

    def recover(self) -> str:
        """Extend the store, or delete a volume."""
        if self._place.extend:
            return self._place.extend(self._observer)
        self._clients.delete_volume(self._volumes.pop('ballast'))
        return 'deleted the detached volume'

    def goes_on(self) -> str:
        """Wait for the guest, which retries its write."""
        self._hog = self._guest.wait('disk', 'vdc', 'filled',
                                     timeout_s=_FILL_S)
        return self._hog.text

    def new_volume(self) -> str:
        """Create a volume and a snapshot, and use the volume."""
        self._await_room(1)
        volume_id = self._clients.create_volume('new', 1)
        self._volumes['new'] = volume_id
        self._clients.attach('', self._server, volume_id)
        line = self._guest.wait('disk', 'vdd', 'wrote')
        self._await_room(1)
        made = self._api.create_snapshot(volume_id=volume_id, name='new',
                                         force=True)
        self._api.wait_for_status(made, 'available', ['error'], interval=1,
                                  wait=300)
        self._delete_snapshot(made.id)
        return line.text

    def clean_up(self) -> str:
        """Delete what was created, attached or not."""
        if self._server:
            self._clients.delete_server(self._server)
        for volume_id in self._volumes.values():
            self._clients.wait_volume(volume_id, 'available', timeout_s=120)
            self._clients.delete_volume(volume_id)
        return f'1 server, {len(self._volumes)} volumes'

    def nothing_left(self) -> str:
        """Check both nodes for anything that was not there before."""
        return observe.nothing_left(self._before, self._observer.look())


def _free_gib(pool: dict[str, Any]) -> float:
    return float(pool.get('free_capacity_gb', 0))


def reported_at(pool: dict[str, Any]) -> datetime.datetime:
    """Return when the backend sent the report that the scheduler has, UTC."""
    return datetime.datetime.fromisoformat(pool['timestamp'])


def pattern(token: str) -> bytes:
    """Return what the guest's ``pattern`` makes from a token, 4 MiB."""
    return b''.join(f'{token} {i:026d}\n'.encode() for i in range(1 << 16))

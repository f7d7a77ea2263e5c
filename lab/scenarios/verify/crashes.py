# SPDX-License-Identifier: Apache-2.0
"""Restarts, kills and a reboot, during an attach or under an attachment."""

import time

from lab import process
from lab.cloud import driver
from lab.scenario.expect import expect
from lab.scenarios.verify.bench import GIB, Bench
from lab.scenarios.verify.stranger import Stranger


class Crashes:
    """Takes services away.

    :param bench: its first volume is attached, its second one is not.
    :param stranger: must survive all but the reboot.
    """

    def __init__(self, bench: Bench, stranger: Stranger) -> None:
        self._bench = bench
        self._stranger = stranger

    def restart(self) -> str:
        """Restart cinder-volume; attachment and stranger stay."""
        bench = self._bench
        before = bench.look.configfs()
        bench.cloud.node_service('storage', 'restart')
        bench.cloud.wait_service('storage')
        changed = set(before.items()) ^ set(bench.look.configfs().items())
        expect(not changed, f'configfs has changed: {changed}')
        return (bench.observer.attached(bench.volumes[0], GIB) + '; '
                + self._stranger.unchanged())

    def kill_daemon(self) -> str:
        """Kill the daemon while an attach waits for it: it completes."""
        bench, volume_id = self._bench, self._bench.volumes[1]
        self._begin_attach(volume_id)
        bench.look.run('storage', 'pkill', '-KILL', '-f',
                       driver.TARGET_DAEMON)
        bench.clients.wait_volume(volume_id, 'in-use',
                                  given_up=('available',))
        bench.guest.wait('disk', 'vdc', 'wrote')
        proof = bench.observer.attached(volume_id, GIB)
        bench.clients.detach('', bench.server, volume_id)
        return f'the attach completed: {proof}'

    def kill_service(self) -> str:
        """Kill service and daemon during an attach."""
        bench, volume_id = self._bench, self._bench.volumes[1]
        self._begin_attach(volume_id)
        in_journal = self._rows(volume_id)
        bench.cloud.node_service('storage', 'kill')
        bench.cloud.node_service('storage', 'start')
        bench.cloud.wait_service('storage')
        # Nova's call to Cinder times out; then it asks again, or rolls back.
        started = time.monotonic()
        status = process.wait_for(
            lambda: self._settled(volume_id),
            f'volume {volume_id} to be in-use or available', 600)
        waited = time.monotonic() - started
        proof = (f'killed with "{in_journal[-1][:70]}..." in the journal; '
                 f'{status} {waited:.0f} s after the start; ')
        if status == 'in-use':
            proof += bench.observer.attached(volume_id, GIB)
            bench.clients.detach('', bench.server, volume_id)
        bench.observer.detached(volume_id)
        left = self._rows(volume_id)
        expect(not left, f'left in the journal: {left}')
        return (f'{proof}; detached: nothing left in the kernel, the host and '
                f'the journal; {self._stranger.unchanged()}')

    def _begin_attach(self, volume_id: str) -> None:
        """Stop the daemon, and ask for an attachment that then hangs."""
        bench = self._bench
        bench.look.run('storage', 'pkill', '-STOP', '-f',
                       driver.TARGET_DAEMON)
        bench.clients.begin_attach(bench.server, volume_id)
        process.wait_for(lambda: self._rows(volume_id),
                         f'volume {volume_id} in the journal', 120)

    def _rows(self, volume_id: str) -> list[str]:
        """Return the journal's rows on a volume, quarantine aside."""
        return [row for row in self._bench.observer.journal()
                if volume_id in row and not row.startswith('quarantine')]

    def _settled(self, volume_id: str) -> str | None:
        """Return a volume's status once no operation is in progress."""
        status = str(self._bench.api.get_volume(volume_id).status)
        return status if status in ('in-use', 'available') else None

    def attach_again(self) -> str:
        """Attach the volume whose attach was killed."""
        bench = self._bench
        bench.clients.attach('', bench.server, bench.volumes[1])
        bench.guest.wait('disk', 'vdc', 'added')
        return bench.observer.attached(bench.volumes[1], GIB)

    def reboot(self) -> str:
        """Reboot the storage node; the guest's disks come back."""
        bench = self._bench
        # It was made by hand, and no boot script would make it again.
        self._stranger.drop()
        bench.cloud.reboot('storage')
        process.wait_for(
            lambda: self._sessions() == {'LOGGED_IN'},
            'the sessions to be logged in again', 180)
        disk = bench.observer.look().disks(bench.volumes[0])[0]['name']
        bench.look.run('compute', 'dd', f'if=/dev/{disk}', 'of=/dev/null',
                       'bs=1M', 'count=8', 'iflag=direct')
        return (bench.observer.attached(bench.volumes[0], GIB)
                + '; read from it: ok')

    def _sessions(self) -> set[str]:
        found = self._bench.observer.look().initiator['sessions'].values()
        return {s['state'] for s in found}

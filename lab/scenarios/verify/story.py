# SPDX-License-Identifier: Apache-2.0
"""The steps of the verification, in order."""

from collections.abc import Callable, Iterator
import contextlib
import time
import uuid
import zlib

from openstack import exceptions

from lab import process
from lab.cloud import api, driver
from lab.scenario import clients, observe, report
from lab.scenario.console import Guest
from lab.scenario.expect import NotProven, expect
from lab.scenarios.verify import inside, look


class Story:
    """The steps and what they hand on to each other.

    :param cloud: the cloud that is up.
    :param told: not used; other scenarios note timings in it.
    """

    def __init__(self, cloud: api.Cloud, told: report.Report) -> None:
        del told
        self._cloud = cloud
        self._look = look.Looker(cloud)
        self._observer = observe.Observer(cloud)
        self._volumes: list[str] = []
        self._server = ''
        self._guest: Guest
        self._clients: clients.Clients
        self._strangers: dict[str, str] = {}
        self._arguments: dict[str, str] = {}

    def steps(self) -> list[tuple[str, Callable[[], str]]]:
        """Return the steps; each needs those before it."""
        return [
            ('An export made by hand beside ours', self.make_stranger),
            ('A server and two volumes', self.prepare),
            ('Attach, every process watched', self.attach),
            ('A connector without initiator', self.no_iqn),
            ('A connector with a wrong initiator', self.wrong_iqn),
            ('A target that is stopped', self.stopped_target),
            ('A target without portals', self.no_portals),
            ('Secrets: where they are', self.secrets),
            ('Restart of cinder-volume beside a live attachment',
             self.restart),
            ('kill -9 of the privileged daemon in an attach',
             self.kill_daemon),
            ('kill -9 of cinder-volume and its daemon in an attach',
             self.kill_service),
            ('Attach again after that', self.attach_again),
            ('Reboot of the storage node under a live attachment',
             self.reboot),
        ]

    def last_steps(self) -> list[tuple[str, Callable[[], str]]]:
        """Return the steps that come in any case."""
        return [('Detach and delete', self.clean_up),
                ('Nothing is left on both nodes', self.nothing_left),
                ('The export made by hand is untouched', self.drop_stranger)]

    def make_stranger(self) -> str:
        """Make an export by hand; note what it is."""
        connected = self._cloud.connect()
        self._api = connected.block_storage
        self._clients = clients.Clients(connected)
        self._look.inside('storage', 'stranger-make', '/var/lib/cinder')
        self._before = self._observer.look()
        self._strangers = self._stranger()
        expect(len(self._strangers) > 50, 'the export by hand is not there')
        return f'{inside.STRANGER}: {len(self._strangers)} objects noted'

    def _stranger(self) -> dict[str, str]:
        return self._look.configfs('stranger')

    def _same_stranger(self) -> str:
        now = self._stranger()
        changed = {k for k in now.keys() | self._strangers
                   if now.get(k) != self._strangers.get(k)}
        expect(not changed, f'the export by hand has changed: {changed}')
        return 'the export by hand is as before'

    def prepare(self) -> str:
        """Make the server and the volumes that all is about."""
        self._server = self._clients.create_server(
            'verify', image_id=api.IMAGE_ID)
        self._volumes = [self._clients.create_volume(f'verify-{n}', 1)
                         for n in range(2)]
        self._clients.wait_server(self._server)
        self._guest = self._clients.guest('verify', self._server)
        self._guest.wait('disk', 'vda', 'booted')
        return ', '.join(self._volumes)

    def attach(self) -> str:
        """Attach, while both nodes' command lines are noted."""
        def act() -> None:
            self._clients.attach('', self._server, self._volumes[0])
            self._guest.wait('disk', 'vdb', 'wrote')

        self._arguments = self._look.arguments_during(act, 25)
        lines = sum(len(a.splitlines()) for a in self._arguments.values())
        return (f'{lines} distinct command lines seen; '
                + self._observer.attached(self._volumes[0], 1 << 30))

    # -- wrong connectors, silent targets

    def no_iqn(self) -> str:
        """Ask for an attachment without an initiator's name."""
        return self._refused({'host': 'x', 'ip': '10.77.0.99'})

    def wrong_iqn(self) -> str:
        """Ask for an attachment with a name that LIO would refuse."""
        return self._refused({'host': 'x', 'ip': '10.77.0.99',
                              'initiator': 'iqn.2026-11.lab:x'})

    def stopped_target(self) -> str:
        """Ask for an attachment while the targets are disabled."""
        with self._switched('echo {} > $t/tpgt_1/enable', '0', '1'):
            return self._refused({
                'host': 'x', 'ip': '10.77.0.99',
                'initiator': 'iqn.1993-08.org.debian:01:x'})

    def no_portals(self) -> str:
        """Ask for an attachment while the targets have no portal."""
        np = f'$t/tpgt_1/np/{self._portal()}'
        with self._switched('{} ' + np, 'rmdir', 'mkdir'):
            return self._refused({
                'host': 'x', 'ip': '10.77.0.99',
                'initiator': 'iqn.1993-08.org.debian:01:x'})

    def _portal(self) -> str:
        return str(next(p for t, found in
                        self._before.target['targets'].items()
                        if t != inside.STRANGER for p in found['portals']))

    @contextlib.contextmanager
    def _switched(self, command: str, off: str,
                  on: str) -> Iterator[None]:
        """Do something to each target that carries no live attachment."""
        busy = {iqn for iqn, t in
                self._observer.look().target['targets'].items() if t['acls']}
        loop = ('for t in /sys/kernel/config/target/iscsi/'
                f'{driver.TARGET_PREFIX}*; do case " {" ".join(busy)} " in '
                '*" ${{t##*/}} "*) continue;; esac; ' + command + '; done')
        volume_id = self._volume_off(busy)
        self._refused_volume = volume_id
        self._look.run('storage', 'bash', '-ec', loop.format(off))
        try:
            yield
        finally:
            self._look.run('storage', 'bash', '-ec', loop.format(on))

    def _volume_off(self, busy: set[str]) -> str:
        """Return a volume that is placed on a target that is not busy.

        Placement goes by the volume's UUID; a few tries find one.
        """
        for n in range(30):
            volume_id = (self._volumes[1:][n] if n < len(self._volumes) - 1
                         else self._new_volume())
            target = self._placed_on(volume_id)
            if target not in busy:
                return volume_id
        raise NotProven('no volume is placed beside the busy target')

    def _new_volume(self) -> str:
        self._volumes.append(self._clients.create_volume(
            f'verify-{len(self._volumes)}', 1))
        return self._volumes[-1]

    def _placed_on(self, volume_id: str) -> str:
        """Return the target that a volume is placed on."""
        pool = sorted(row.split("'")[1] for row in self._observer.journal()
                      if row.startswith('target: '))
        return pool[zlib.crc32(uuid.UUID(volume_id).bytes) % len(pool)]

    def _refused(self, connector: dict[str, str]) -> str:
        """Ask for an attachment that must fail; all stays as it was."""
        volume_id = getattr(self, '_refused_volume', self._volumes[1])
        before = self._look.configfs(), self._observer.journal()
        attachment = self._api.post('/attachments', json={'attachment': {
            'volume_uuid': volume_id, 'connector': connector,
            'instance_uuid': str(uuid.uuid4())}}, microversion='3.54')
        expect(attachment.status_code >= 400,
               f'the attachment was made: {attachment.status_code}')
        after = self._look.configfs(), self._observer.journal()
        expect(before == after, 'configfs or journal changed: '
               f'{set(before[0].items()) ^ set(after[0].items())} '
               f'{set(before[1]) ^ set(after[1])}')
        self._drop_attachments(volume_id)
        text = self._reason()
        return f'HTTP {attachment.status_code}; {text}; nothing changed'

    def _drop_attachments(self, volume_id: str) -> None:
        listed = self._api.get(
            f'/attachments/detail?volume_id={volume_id}',
            microversion='3.54').json()['attachments']
        for found in listed:
            with contextlib.suppress(exceptions.NotFoundException):
                self._api.delete(f'/attachments/{found["id"]}',
                                 microversion='3.54')
        self._clients.wait_volume(volume_id, 'available')

    def _reason(self) -> str:
        """Return what cinder-volume's log said of it last."""
        lines = [line for line in
                 self._cloud.log('cinder-volume').read_text(
                     errors='replace').splitlines()
                 if driver.PACKAGE in line or 'Driver initialize' in line
                 or 'InvalidInput' in line or 'Invalid input' in line]
        for line in reversed(lines):
            for words in driver.REFUSALS:
                if words in line:
                    return line[line.index(words):][:300]
        raise NotProven('the log of cinder-volume does not say why')

    # -- secrets

    def secrets(self) -> str:
        """Search everything for the CHAP secrets in use."""
        secrets = self._look.secrets()
        expect(len(secrets) == 8, f'{len(secrets)} secrets, not 8')
        bad = []
        for kind, texts in (
                ('log', self._look.logs()),
                ('arguments on', {**self._arguments,
                                  'this machine':
                                  self._look.host_arguments()}),
                ('', {'journal': '\n'.join(self._observer.journal())})):
            bad += [f'{kind} {name} ({label})'.strip()
                    for name, text in texts.items()
                    for label, secret in secrets.items() if secret in text]
        records = [name for name, text in self._look.records().items()
                   if any(s in text for s in secrets.values())]
        rows = [name for name, raw in self._look.databases().items()
                if any(s.encode() in raw for s in secrets.values())]
        expect(not bad, f'secrets are in: {bad}; also in node records '
               f'{records} and in the databases {rows}')
        return ('not in any log, argument list or the journal; known places: '
                f'configfs, node records {records}, databases (Cinder\'s '
                f'attachment, Nova\'s block device mapping) {rows}')

    # -- crashes

    def restart(self) -> str:
        """Restart cinder-volume; the attachment and the stranger stay."""
        before = self._look.configfs()
        self._cloud.node_service('storage', 'restart')
        self._cloud.wait_service('storage')
        changed = set(before.items()) ^ set(self._look.configfs().items())
        expect(not changed, f'configfs has changed: {changed}')
        return (self._observer.attached(self._volumes[0], 1 << 30) + '; '
                + self._same_stranger())

    def kill_daemon(self) -> str:
        """Kill the daemon while an attach waits for it: it completes."""
        volume_id = self._volumes[1]
        self._look.run('storage', 'pkill', '-STOP', '-f', driver.TARGET_DAEMON)
        self._clients.begin_attach(self._server, volume_id)
        self._wait_journal(volume_id)
        self._look.run('storage', 'pkill', '-KILL', '-f', driver.TARGET_DAEMON)
        self._clients.wait_volume(volume_id, 'in-use',
                                  given_up=('available',))
        self._guest.wait('disk', 'vdc', 'wrote')
        proof = self._observer.attached(volume_id, 1 << 30)
        self._clients.detach('', self._server, volume_id)
        return f'the attach completed: {proof}'

    def _wait_journal(self, volume_id: str) -> None:
        """Wait until the attach of a volume stands in the journal."""
        process.wait_for(
            lambda: any(volume_id in row for row in self._observer.journal()
                        if not row.startswith('quarantine')),
            f'volume {volume_id} in the journal', 120)

    def kill_service(self) -> str:
        """Kill service and daemon while an attach is under way."""
        volume_id = self._volumes[1]
        self._look.run('storage', 'pkill', '-STOP', '-f', driver.TARGET_DAEMON)
        self._clients.begin_attach(self._server, volume_id)
        self._wait_journal(volume_id)
        in_journal = [r for r in self._observer.journal() if volume_id in r
                      and not r.startswith('quarantine')]
        self._cloud.node_service('storage', 'kill')
        self._cloud.node_service('storage', 'start')
        self._cloud.wait_service('storage')
        # Nova's call to Cinder times out; then it asks again, or rolls back.
        started = time.monotonic()
        status = process.wait_for(
            lambda: self._settled(volume_id),
            f'volume {volume_id} to be in-use or available', 600)
        waited = time.monotonic() - started
        told = (f'killed with "{in_journal[-1][:70]}..." in the journal; '
                f'{status} {waited:.0f} s after the start; ')
        if status == 'in-use':
            told += self._observer.attached(volume_id, 1 << 30)
            self._clients.detach('', self._server, volume_id)
        self._observer.detached(volume_id)
        left = [r for r in self._observer.journal() if volume_id in r
                and not r.startswith('quarantine')]
        expect(not left, f'left in the journal: {left}')
        return (f'{told}; detached: nothing left in the kernel, the host and '
                f'the journal; {self._same_stranger()}')

    def _settled(self, volume_id: str) -> str | None:
        """Return a volume's status once nothing is under way any more."""
        status = self._api.get_volume(volume_id).status
        return status if status in ('in-use', 'available') else None

    def attach_again(self) -> str:
        """Attach the volume whose attach was killed."""
        self._clients.attach('', self._server, self._volumes[1])
        self._guest.wait('disk', 'vdc', 'added')
        return self._observer.attached(self._volumes[1], 1 << 30)

    def reboot(self) -> str:
        """Reboot the storage node; the guest's disks come back."""
        self._drop_strangers_note()
        self._cloud.reboot('storage')
        process.wait_for(
            lambda: self._sessions() == {'LOGGED_IN'},
            'the sessions to be logged in again', 180)
        self._look.run(
            'compute', 'dd', f'if=/dev/{self._disk()}', 'of=/dev/null',
            'bs=1M', 'count=8', 'iflag=direct')
        return (self._observer.attached(self._volumes[0], 1 << 30)
                + '; read from it: ok')

    def _drop_strangers_note(self) -> None:
        # It was made by hand and by no boot script: a reboot forgets it.
        self._look.inside('storage', 'stranger-drop', '/var/lib/cinder')
        self._strangers = {}

    def _sessions(self) -> set[str]:
        found = self._observer.look().initiator['sessions'].values()
        return {s['state'] for s in found}

    def _disk(self) -> str:
        return str(self._observer.look().disks(self._volumes[0])[0]['name'])

    # -- the end

    def clean_up(self) -> str:
        """Delete what was made, attached or not."""
        if self._server:
            self._clients.delete_server(self._server)
        for volume_id in self._volumes:
            self._clients.wait_volume(volume_id, 'available')
            self._clients.delete_volume(volume_id)
        return f'1 server, {len(self._volumes)} volumes'

    def nothing_left(self) -> str:
        """Check both nodes and the journal for leftovers."""
        left = observe.left_over(self._before, self._observer.look())
        left['journal rows'] = {
            r for r in self._observer.journal()
            if not r.startswith(('target', 'quarantine'))}
        if found := {kind: sorted(what) for kind, what in left.items()
                     if what}:
            raise NotProven(f'left over: {found}')
        return ', '.join(f'0 {kind}' for kind in left)

    def drop_stranger(self) -> str:
        """Remove the export by hand, unless a reboot did."""
        if not self._strangers:
            return 'it was as before until the reboot'
        told = self._same_stranger()
        self._look.inside('storage', 'stranger-drop', '/var/lib/cinder')
        return told

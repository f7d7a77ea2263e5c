# SPDX-License-Identifier: Apache-2.0
"""Attachments that must be refused: wrong connectors, targets that are off."""

from collections.abc import Iterator
import contextlib
import uuid

from openstack import exceptions

from lab.cloud import driver
from lab.scenario.expect import NotProven, expect
from lab.scenarios.verify import inside
from lab.scenarios.verify.bench import Bench
from mydriver import model
from mydriver.target import pool

#: A connector with which nothing is wrong.
_CONNECTOR = {'host': 'x', 'ip': '10.77.0.99',
              'initiator': 'iqn.1993-08.org.debian:01:x'}

#: Cinder's API of attachments.
_MICROVERSION = '3.54'


class Refusals:
    """Asks for attachments; each must fail and change nothing.

    :param bench: has a server and two volumes.
    """

    def __init__(self, bench: Bench) -> None:
        self._bench = bench

    def no_iqn(self) -> str:
        """Ask for an attachment without an initiator name."""
        return self._refused(self._bench.volumes[1], {
            k: v for k, v in _CONNECTOR.items() if k != 'initiator'})

    def wrong_iqn(self) -> str:
        """Ask for an attachment with a name that LIO would refuse."""
        return self._refused(self._bench.volumes[1], {
            **_CONNECTOR, 'initiator': 'iqn.2026-11.lab:x'})

    def stopped_target(self) -> str:
        """Ask for an attachment while the targets are disabled."""
        with self.stopped() as volume:
            return self._refused(volume, _CONNECTOR)

    def stopped(self) -> contextlib.AbstractContextManager[str]:
        """Stop each target that has no attachment, for a context.

        :returns: a volume whose target is stopped.
        """
        return self._switched('echo {} > $t/tpgt_1/enable', '0', '1')

    def no_portals(self) -> str:
        """Ask for an attachment while the targets have no portal."""
        np = f'$t/tpgt_1/np/{min(self.portals())}'
        with self._switched('{} ' + np, 'rmdir', 'mkdir') as volume:
            return self._refused(volume, _CONNECTOR)

    def portals(self) -> set[str]:
        """Return the portals of our targets, as ``ADDRESS:PORT``."""
        return {str(p) for t, found in
                self._bench.before.target['targets'].items()
                if t != inside.STRANGER for p in found['portals']}

    @contextlib.contextmanager
    def _switched(self, command: str, off: str, on: str) -> Iterator[str]:
        """Switch each target off that has no attachment, then on again.

        :param command: what to do to target ``$t``.
        :returns: a volume whose target is off.
        """
        busy = {iqn for iqn, t in
                self._bench.observer.look().target['targets'].items()
                if t['acls']}
        loop = ('for t in /sys/kernel/config/target/iscsi/'
                f'{driver.TARGET_PREFIX}*; do case " {" ".join(busy)} " in '
                '*" ${{t##*/}} "*) continue;; esac; ' + command + '; done')
        volume_id = self._volume_off(busy)
        self._bench.look.run('storage', 'bash', '-ec', loop.format(off))
        try:
            yield volume_id
        finally:
            self._bench.look.run('storage', 'bash', '-ec', loop.format(on))

    def _volume_off(self, busy: set[str]) -> str:
        """Return a volume that is placed on a target that is not busy.

        Placement depends on the volume's UUID; a few attempts find one.
        """
        for n in range(1, 31):
            volume_id = (self._bench.volumes[n]
                         if n < len(self._bench.volumes)
                         else self._bench.new_volume())
            if self._placed_on(volume_id) not in busy:
                return volume_id
        raise NotProven('every volume is placed on the busy target')

    def _placed_on(self, volume_id: str) -> str:
        """Return the target that a volume is placed on."""
        names = sorted(row.split("'")[1] for row in
                       self._bench.observer.journal()
                       if row.startswith('target: '))
        return str(pool.place(volume_id, [model.Iqn(n) for n in names]))

    def _refused(self, volume_id: str, connector: dict[str, str]) -> str:
        """Ask for an attachment that must fail and change nothing.

        :returns: the proof, with the reason that the log gives.
        """
        look, observer = self._bench.look, self._bench.observer
        before = look.configfs(), observer.journal()
        attachment = self._bench.api.post(
            '/attachments', json={'attachment': {
                'volume_uuid': volume_id, 'connector': connector,
                'instance_uuid': str(uuid.uuid4())}},
            microversion=_MICROVERSION)
        expect(attachment.status_code >= 400,
               f'the attachment was made: {attachment.status_code}')
        after = look.configfs(), observer.journal()
        expect(before == after, 'configfs or journal changed: '
               f'{set(before[0].items()) ^ set(after[0].items())} '
               f'{set(before[1]) ^ set(after[1])}')
        self._drop_attachments(volume_id)
        return (f'HTTP {attachment.status_code}; {self._reason()}; nothing '
                'changed')

    def _drop_attachments(self, volume_id: str) -> None:
        api = self._bench.api
        listed = api.get(
            f'/attachments/detail?volume_id={volume_id}',
            microversion=_MICROVERSION).json()['attachments']
        for found in listed:
            with contextlib.suppress(exceptions.NotFoundException):
                api.delete(f'/attachments/{found["id"]}',
                           microversion=_MICROVERSION)
        self._bench.clients.wait_volume(volume_id, 'available')

    def _reason(self) -> str:
        """Return the reason that cinder-volume logged last."""
        lines = [line for line in
                 self._bench.cloud.log('cinder-volume').read_text(
                     errors='replace').splitlines()
                 if driver.PACKAGE in line or 'Driver initialize' in line
                 or 'InvalidInput' in line or 'Invalid input' in line]
        for line in reversed(lines):
            for words in driver.REFUSALS:
                if words in line:
                    return line[line.index(words):][:300]
        raise NotProven('the log of cinder-volume does not say why')

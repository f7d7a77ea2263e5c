# SPDX-License-Identifier: Apache-2.0
"""The steps of the upgrade and of the way back, in order."""

import ast
from collections.abc import Callable, Sequence
import time
from typing import Any

from lab.cloud import api, driver
from lab.cloud.config import cinder as cinder_conf
from lab.scenario import clients, observe, report, writer
from lab.scenario.console import Guest, Line
from lab.scenario.expect import NotProven, expect, expect_equal
from lab.scenarios.upgrade import code
from lab.scenarios.upgrade.source import WORKING_TREE, Source

_GIB = 1 << 30


class Story:
    """The steps and what they pass on to each other.

    :param earlier: the code to upgrade from, which the cloud runs.
    :param cloud: the cloud that is up.
    :param told: gets the timings.
    """

    def __init__(self, earlier: Source, cloud: api.Cloud,
                 told: report.Report) -> None:
        self._earlier = earlier
        self._cloud = cloud
        self._told = told
        self._observer = observe.Observer(cloud)
        self._code = code.Checker(cloud, self._observer)
        self._clients: clients.Clients
        self._api: Any = None
        self._before: observe.Seen
        self._server = ''
        self._guest: Guest
        self._writer: writer.Writer
        self._written: Line
        self._volumes: dict[str, str] = {}
        self._snapshot = ''
        self._version = 0

    def steps(self) -> list[tuple[str, Callable[[], str]]]:
        """Return the steps; each needs those before it."""
        old, new = self._earlier, WORKING_TREE
        return [
            (f'Both services run {old.name}', self.start),
            ('A server, and a volume that it writes to all the time',
             self.write),
            ('A second volume', self.attach_second),
            (f'Both privileged daemons run {old.name}',
             lambda: self._code.daemons(old)),
            (f'Restart cinder-volume with {new.name}',
             lambda: self.restart('storage', new)),
            (f'Restart nova-compute with {new.name}',
             lambda: self.restart('compute', new)),
            ('Extend the volume under the writer', self.extend),
            ('Snapshot the second volume', self.snapshot),
            ('Detach the second volume and attach it again', self.again),
            ('Attach a third volume', self.attach_third),
            (f'Both privileged daemons run {new.name}',
             lambda: self._code.daemons(new)),
            ('Go back: stop cinder-volume, downgrade the journal',
             self.downgrade),
            (f'Go back: restart cinder-volume with {old.name}',
             lambda: self.restart('storage', old)),
            (f'Go back: restart nova-compute with {old.name}',
             lambda: self.restart('compute', old)),
            ('Delete the snapshot', self.drop_snapshot),
            ('Detach the third volume', self.detach_third),
            ('Detach the second volume and attach it again', self.again),
            (f'Both privileged daemons run {old.name}',
             lambda: self._code.daemons(old)),
            ('Detach the writer\'s volume, and read its records',
             self.detach_writer),
        ]

    def last_steps(self) -> list[tuple[str, Callable[[], str]]]:
        """Return the steps that run in any case."""
        return [('Detach and delete', self.clean_up),
                ('Nothing is left on both nodes', self.nothing_left)]

    def start(self) -> str:
        """Check what runs before anything is made."""
        connected = self._cloud.connect()
        self._api = connected.block_storage
        self._clients = clients.Clients(connected)
        self._before = self._observer.look()
        return '; '.join(self._code.service(node, self._earlier)
                         for node in code.NODES)

    def write(self) -> str:
        """Boot a server and let it write."""
        self._server = self._clients.create_server(
            'upgrade', image_id=api.IMAGE_ID)
        volume_id = self._create('writer')
        token = self._observer.mark(volume_id, writer.WORD)
        self._clients.wait_server(self._server)
        self._guest = self._clients.guest('upgrade', self._server)
        self._guest.wait('disk', 'vda', 'booted')
        self._attach('writer')
        self._writer = writer.Writer(self._guest, 'vdb', token)
        begin = self._writer.report()
        self._version = self._observer.journal_version()
        return (f'{self._writer.since(begin)}; journal: version '
                f'{self._version}; '
                + self._observer.attached(volume_id, _GIB))

    def attach_second(self) -> str:
        """Attach a volume that gets a pattern."""
        volume_id = self._create('second')
        self._attach('second')
        self._written = self._guest.wait('disk', 'vdc', 'wrote')
        return self._observer.attached(volume_id, _GIB)

    def restart(self, node: str, source: Source) -> str:
        """Restart a node's service with some code, under I/O."""
        kernel = self._observer.look().inventory()
        exports = self._observer.exports()
        offset = self._code.log_size(node)
        begin = self._writer.report()
        start = time.monotonic()
        self._cloud.node_service(
            node, 'restart',
            '' if source is WORKING_TREE else str(source.folder))
        self._cloud.wait_service(node)
        took = time.monotonic() - start
        running = self._code.service(node, source, offset)
        progress = self._writer.since(begin)
        now = self._observer.look().inventory()
        changed = {kind: sorted(things ^ now[kind])
                   for kind, things in kernel.items() if things != now[kind]}
        expect(not changed, f'the restart has changed: {changed}')
        expect_equal(*same_columns(exports, self._observer.exports()),
                     'the journal')
        return f'{took:.0f} s; {running}; the guest: {progress}'

    def downgrade(self) -> str:
        """Bring the journal back to the version that the earlier code wrote.

        With the same version there is nothing to do, and the service is only
        stopped.
        """
        before = self._observer.exports()
        version = self._observer.journal_version()
        begin = self._writer.report()
        self._cloud.node_service('storage', 'stop')
        if version != self._version:
            self._observer.run('storage', *driver.downgrade(
                cinder_conf.ROOTS_CONF, self._version))
        expect_equal(self._version, self._observer.journal_version(),
                     'version of the journal')
        expect_equal(*same_columns(before, self._observer.exports()),
                     'the journal')
        return (f'from version {version} to {self._version}; the guest: '
                f'{self._writer.since(begin)}')

    def extend(self) -> str:
        """Grow the volume that the guest writes to."""
        volume_id = self._volumes['writer']
        begin = self._writer.report()
        self._clients.extend_volume(volume_id, 2)
        resized = self._guest.wait('disk', 'vdb', 'resized')
        expect_equal(str(2 * _GIB), resized.fields['to'],
                     'size that the guest sees')
        self._guest.wait('disk', 'vdb', 'wrote-beyond')
        return (f'{resized.text}; {self._writer.since(begin)}; '
                + self._observer.attached(volume_id, 2 * _GIB))

    def snapshot(self) -> str:
        """Snapshot a volume in use."""
        made = self._api.create_snapshot(
            volume_id=self._volumes['second'], name='upgrade', force=True)
        self._snapshot = made.id
        self._api.wait_for_status(made, 'available', ['error'], interval=1,
                                  wait=300)
        return self._snapshot

    def drop_snapshot(self) -> str:
        """Delete the snapshot, which the other code has made."""
        self._api.delete_snapshot(self._snapshot)
        self._api.wait_for_delete(self._api.get_snapshot(self._snapshot),
                                  interval=1, wait=300)
        gone, self._snapshot = self._snapshot, ''
        return gone

    def again(self) -> str:
        """Detach the second volume and attach it again."""
        volume_id = self._volumes['second']
        begin = self._writer.report()
        self._detach('second', 'vdc')
        detached = self._observer.detached(volume_id)
        self._attach('second')
        line = self._guest.wait('disk', 'vdc', 'verified')
        for field in ('token', 'bytes', 'sha256'):
            expect_equal(self._written.fields[field], line.fields[field],
                         f'{field} of the pattern')
        attached = self._observer.attached(volume_id, _GIB)
        return (f'{detached}; {attached}; the pattern is as it was; '
                f'{self._writer.since(begin)}')

    def attach_third(self) -> str:
        """Attach a volume that the earlier code has not seen."""
        volume_id = self._create('third')
        self._attach('third')
        self._guest.wait('disk', 'vdd', 'wrote')
        return self._observer.attached(volume_id, _GIB)

    def detach_third(self) -> str:
        """Detach what the other code has attached."""
        self._detach('third', 'vdd')
        return self._observer.detached(self._volumes['third'])

    def detach_writer(self) -> str:
        """Detach the volume under the writer; see its records."""
        volume_id = self._volumes['writer']
        reported = writer.count(self._writer.report())
        self._detach('writer', 'vdb')
        proof = self._observer.detached(volume_id)
        path, _ = self._observer.backing_file(volume_id)
        text = self._observer.backings.text(path, writer.FIRST_BLOCK,
                                            writer.PLACES)
        last = writer.check_records(text, self._writer.token, reported)
        return f'{proof}; {last} records, the last {writer.PLACES} are there'

    def _create(self, name: str) -> str:
        self._volumes[name] = self._clients.create_volume(
            f'upgrade-{name}', 1)
        return self._volumes[name]

    def _attach(self, name: str) -> None:
        self._told.timings.append(self._clients.attach(
            f'attach {name}', self._server, self._volumes[name]))

    def _detach(self, name: str, disk: str) -> None:
        self._told.timings.append(self._clients.detach(
            f'detach {name}', self._server, self._volumes[name]))
        self._guest.wait('disk', disk, 'removed')

    # -- the end

    def clean_up(self) -> str:
        """Delete what was made, attached or not."""
        if self._server:
            self._clients.delete_server(self._server)
        if self._snapshot:
            self.drop_snapshot()
        for volume_id in self._volumes.values():
            self._clients.wait_volume(volume_id, 'available', timeout_s=120)
            self._clients.delete_volume(volume_id)
        return f'1 server, {len(self._volumes)} volumes'

    def nothing_left(self) -> str:
        """Check both nodes and the journal for leftovers."""
        expect(not (left := self._observer.exports()),
               f'left in the journal: {left}')
        if not hasattr(self, '_before'):
            raise NotProven('what there was before is not known')
        return '0 exports, ' + observe.nothing_left(
            self._before, self._observer.look())


def same_columns(before: Sequence[str], after: Sequence[str]
                 ) -> tuple[list[str], list[str]]:
    """Return rows of two journals with the columns that both have.

    A later version of the journal has more columns, each behind the earlier
    ones. It may return the rows in another order.

    :param before: rows as :meth:`~lab.scenario.observe.Observer.exports`
        returns them.
    :param after: the same, of the other version.
    """
    widths: dict[str, int] = {}
    parsed = []
    for rows in (before, after):
        parsed.append([(table, ast.literal_eval(values)) for table, _, values
                       in (row.partition(': ') for row in rows)])
        for table, values in parsed[-1]:
            widths[table] = min(len(values), widths.get(table, len(values)))
    first, second = (
        sorted(f'{table}: {values[:widths[table]]}' for table, values in rows)
        for rows in parsed)
    return first, second

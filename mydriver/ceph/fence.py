# SPDX-License-Identifier: Apache-2.0
"""The fence: clients that Ceph's OSDs refuse, and the proof that they do.

The monitors' capability ``profile rbd`` lets a gateway enter one instance of a
client (``IP:0/NONCE``) in the blocklist, and not remove one. An entry that is
there stays as it is: adding it again for longer is acknowledged and changes
nothing (OSDMap::apply_incremental; seen with Ceph 16.2). The kernel and librbd
add one for the cluster's default time, an hour unless it was set, when they
break the lock of a client that has gone. So what counts is what the list shows
afterwards.
"""

from collections.abc import Collection, Iterable, Mapping
from concurrent import futures
import dataclasses
import datetime
import json
from typing import Any

from oslo_log import log as logging

from mydriver import exception
from mydriver.ceph import blocking, cluster
from mydriver.ceph.clients import Client

LOG = logging.getLogger(__name__)

#: How long a fence stands, seconds. A host that was cut off may come back with
#: a write in its hands at any time, and an entry cannot be extended.
FENCE_S = 10 * 365 * 86400

#: An entry that ends sooner is not one of a gateway's.
LEAST_S = 30 * 86400

#: How many monitors' commands are on their way at the same time. Those that
#: arrive together make one change of the OSD map.
_AT_ONCE = 16


@dataclasses.dataclass(frozen=True, slots=True)
class Blocklist:
    """The blocklist at one moment.

    :param entries: when each entry ends, by the monitors' clock.
    :param modified: when the OSD map last changed, by the same clock; no entry
        is newer.
    """

    entries: Mapping[Client, datetime.datetime]
    modified: datetime.datetime

    def remaining_s(self, client: Client) -> float | None:
        """Return for how long a client stays fenced, None if it is not.

        It is never more than what the entry was made for.
        """
        if client not in self.entries:
            return None
        return (self.entries[client] - self.modified).total_seconds()


class Fence:
    """Fences clients, and sees that it was done.

    :param its: the cluster.
    """

    def __init__(self, its: cluster.Cluster) -> None:
        self._cluster = its

    def read(self) -> Blocklist:
        """Return the blocklist.

        Entries that are not of one client's instance are left out.

        :raises CephError: when the monitors do not answer, or not as expected.
        """
        found = self._command('read the blocklist', 'osd dump')
        try:
            return Blocklist(_entries(found['blocklist']),
                             _moment(found['modified']))
        except (KeyError, TypeError, ValueError, AttributeError) as e:
            raise exception.CephError(
                'read the blocklist', f'the OSD map is unusual: {e}') from e

    def fence(self, clients: Collection[Client]) -> None:
        """Fence clients, and wait until every later write comes after it.

        When it returns, no write of theirs can change an image that was mapped
        or written anew since. It can be repeated.

        :raises FenceTooShort: when one was fenced before, for a short time.
        :raises NotFenced: when one is not in the blocklist.
        :raises CephError: when the monitors do not answer.
        """
        if not clients:
            return
        before = self.read()
        self._add([c for c in clients if c not in before.entries])
        after = self.read()
        self._check(clients, after)
        handle = self._cluster.handle()
        with cluster.errors_translated('wait for the newest OSD map'):
            _wait_for_map(handle)
        LOG.info('Fenced: %s.', _listed(clients))

    def lift(self, client: Client, mapped: Collection[Client]) -> None:
        """Remove a client of this host from the blocklist.

        No gateway needs that: each of its clients is a new one. ``profile
        rbd`` does not permit it.

        :param mapped: the clients that anything is mapped with on this host.
        :raises NotFenced: when it may still write; it is kept in the list.
        :raises CephError: when the monitors refuse.
        """
        if client in mapped:
            raise exception.NotFenced(
                str(client), 'images are mapped with it, so its fence has to '
                'stay')
        self._command('lift a fence', 'osd blocklist', blocklistop='rm',
                      addr=str(client))
        LOG.warning('Removed %s from the blocklist.', client)

    def _add(self, clients: Collection[Client]) -> None:
        if len(clients) == 1:  # also where threads are green
            self._add_one(*clients)
            return
        with futures.ThreadPoolExecutor(_AT_ONCE) as pool:
            for _ in pool.map(self._add_one, clients):
                pass

    def _add_one(self, client: Client) -> None:
        try:
            self._command('fence a client', 'osd blocklist',
                          blocklistop='add', addr=str(client),
                          expire=float(FENCE_S))
        except exception.CephError as e:
            raise exception.NotFenced(str(client), e.reason) from e

    @staticmethod
    def _check(clients: Iterable[Client], seen: Blocklist) -> None:
        missing = [c for c in clients if c not in seen.entries]
        if missing:
            raise exception.NotFenced(
                _listed(missing), 'the blocklist does not have them')
        short = [c for c in clients
                 if (seen.remaining_s(c) or 0.0) < LEAST_S]
        if short:
            until = min(seen.entries[c] for c in short)
            raise exception.FenceTooShort(
                _listed(short), 'somebody entered them before, and an entry '
                'cannot be extended', f'{until:%Y-%m-%d %H:%M:%S} UTC')

    def _command(self, what: str, prefix: str, **arguments: Any) -> Any:
        """Run a command of the monitors; return what its JSON says."""
        handle = self._cluster.handle()
        with cluster.errors_translated(what):
            code, output, text = _ask(handle, json.dumps(
                {'prefix': prefix, 'format': 'json', **arguments}))
        if code:
            raise exception.CephError(what, f'{text or "no answer"} ({code})')
        try:
            return json.loads(output) if output.strip() else None
        except ValueError as e:
            raise exception.CephError(
                what, 'the monitors answered no JSON') from e


@blocking.step
def _ask(handle: Any, command: str) -> Any:
    return handle.mon_command(command, b'')


@blocking.step
def _wait_for_map(handle: Any) -> None:
    handle.wait_for_latest_osdmap()


def _entries(found: Any) -> dict[Client, datetime.datetime]:
    entries = {}
    for text, until in found.items():
        try:
            client = Client.parse(text)
        except ValueError:
            continue  # of a whole host, or of a daemon
        entries[client] = _moment(until)
    return entries


def _moment(text: Any) -> datetime.datetime:
    """Parse a time of the monitors, such as 2026-11-26T10:55:08.5+0000."""
    return datetime.datetime.strptime(
        text, '%Y-%m-%dT%H:%M:%S.%f%z').astimezone(datetime.UTC)


def _listed(clients: Iterable[Client]) -> str:
    return ', '.join(str(c) for c in sorted(clients))

# SPDX-License-Identifier: Apache-2.0
"""Operations of Cinder's API: each is asked for, and waited for."""

from collections.abc import Iterator
import contextlib
import time
from typing import Any

from openstack import connection

from lab import errors
from lab.scenarios.cluster import ledger

#: Attachments, and new sizes of attached volumes.
_VERSION = '3.54'

#: How long a state may last, seconds; a service that was killed is up again
#: by then, and has repeated or given up what it found.
_TIMEOUT_S = 150.0
_POLL_S = 0.4

#: The second volume type, for retyping.
TYPE = 'cluster-other'


class Failed(errors.LabError):
    """An operation has failed, or has not come to an end."""


class Volumes:
    """Cinder's API, as one of the workers uses it.

    :param connected: an SDK connection.
    :param kept: gets each operation.
    """

    def __init__(self, connected: connection.Connection,
                 kept: ledger.Ledger) -> None:
        self._api = connected.block_storage
        self._ledger = kept
        self._present = ledger.Operation('')

    @contextlib.contextmanager
    def operation(self, kind: str) -> Iterator[None]:
        """Note what the block does as one operation.

        :raises Failed: when it fails.
        """
        self._present = one = ledger.Operation(kind)
        try:
            yield
        except Failed as e:
            one.problem = str(e)
            raise
        finally:
            one.ended_s = time.time()
            self._ledger.add(one)

    def ask(self, method: str, path: str, body: Any = None) -> Any:
        """Send a request.

        :returns: the answer; None for 404 and for one without content.
        :raises Failed: when it is refused.
        """
        answer = self._api.request(
            path, method, json=body, microversion=_VERSION,
            raise_exc=False, connect_retries=2)
        if method != 'GET':
            self._present.requests.append(
                answer.headers.get('x-openstack-request-id', ''))
        if answer.status_code == 404 and method != 'POST':
            return None
        if answer.status_code >= 400:
            raise Failed(f'{method} {path}: {answer.status_code} '
                         f'{answer.text[:300]}')
        return answer.json() if answer.content else None

    def status(self, kind: str, its_id: str) -> str:
        """Return the state of a volume or snapshot; empty if it is gone.

        :param kind: ``volume`` or ``snapshot``.
        """
        found = self.ask('GET', f'/{kind}s/{its_id}')
        return str(found[kind]['status']) if found else ''

    def wait(self, kind: str, its_id: str, *wanted: str) -> None:
        """Wait for a state.

        :param wanted: states; the empty text is for "gone".
        :raises Failed: on an error, or when it takes too long.
        """
        deadline = time.monotonic() + _TIMEOUT_S
        while (found := self.status(kind, its_id)) not in wanted:
            if found.startswith('error') or not found:
                raise Failed(f'{kind} {its_id} is {found or "gone"}')
            if time.monotonic() > deadline:
                raise Failed(f'{kind} {its_id} stays {found}')
            time.sleep(_POLL_S)

    # -- operations

    def create(self, kind: str, **fields: Any) -> str:
        """Create a volume; return its id."""
        with self.operation(kind):
            made = self.ask('POST', '/volumes', {'volume': {
                'size': 1, 'name': 'cluster', **fields}})['volume']['id']
            self.wait('volume', made, 'available')
        return str(made)

    def snapshot(self, volume_id: str) -> str:
        """Take a snapshot; return its id."""
        with self.operation('snapshot'):
            made = self.ask('POST', '/snapshots', {'snapshot': {
                'volume_id': volume_id, 'name': 'cluster', 'force': True}})[
                    'snapshot']['id']
            self.wait('snapshot', made, 'available')
        return str(made)

    def extend(self, volume_id: str, size_gib: int) -> None:
        """Extend a volume."""
        was = self.status('volume', volume_id)
        with self.operation('extend'):
            self._act(volume_id, 'os-extend', {'new_size': size_gib})
            self.wait('volume', volume_id, was)
            found = self.ask('GET', f'/volumes/{volume_id}')['volume']
            if found['size'] != size_gib:
                raise Failed(f'volume {volume_id} has {found["size"]} GiB')

    def retype(self, volume_id: str, name: str) -> None:
        """Give a volume another type."""
        with self.operation('retype'):
            self._act(volume_id, 'os-retype', {
                'new_type': name, 'migration_policy': 'never'})
            self.wait('volume', volume_id, 'available')
            found = self.ask('GET', f'/volumes/{volume_id}')['volume']
            if found['volume_type'] != name:
                raise Failed(f'volume {volume_id} keeps type '
                             f'{found["volume_type"]}')

    def attach(self, volume_id: str, host: str) -> str:
        """Attach a volume to a host; return the attachment's id."""
        with self.operation('attach'):
            made = self.ask('POST', '/attachments', {'attachment': {
                'volume_uuid': volume_id, 'connector': {
                    'initiator': f'iqn.1993-08.org.debian:01:{host}',
                    'host': host, 'ip': '10.77.0.12', 'os_type': 'linux',
                    'platform': 'x86_64', 'multipath': False,
                    'mountpoint': '/dev/vdb'}}})['attachment']['id']
            self.ask('POST', f'/attachments/{made}/action',
                     {'os-complete': {}})
            self.wait('volume', volume_id, 'in-use')
        return str(made)

    def detach(self, volume_id: str, attachment_id: str) -> None:
        """End an attachment."""
        with self.operation('detach'):
            self.ask('DELETE', f'/attachments/{attachment_id}')
            self.wait('volume', volume_id, 'available')

    def delete(self, kind: str, its_id: str) -> None:
        """Delete a volume or snapshot."""
        with self.operation(f'delete {kind}'):
            self.ask('DELETE', f'/{kind}s/{its_id}')
            self.wait(kind, its_id, '')

    def _act(self, volume_id: str, action: str, body: Any) -> None:
        self.ask('POST', f'/volumes/{volume_id}/action', {action: body})

    # -- after a failure, as an administrator does it

    def listed(self, kind: str, key: str = '') -> list[Any]:
        """Return all volumes, snapshots or attachments."""
        return list(self.ask('GET', f'/{kind}s/detail?all_tenants=1')[
            key or f'{kind}s'])

    def remove(self, kind: str, its_id: str, said: list[str]) -> bool:
        """Reset and delete something, whatever its state.

        A service that was killed repeats deletions when it starts.

        :param said: is told what keeps it.
        :returns: whether it is gone.
        """
        deadline = time.monotonic() + _TIMEOUT_S
        while self.status(kind, its_id) == 'deleting' and (
                time.monotonic() < deadline):
            time.sleep(_POLL_S)
        try:
            found = self.status(kind, its_id)
            if not found:
                return True
            if found not in ('available', 'error'):
                self.ask('POST', f'/{kind}s/{its_id}/action', {
                    'os-reset_status': {'status': 'error', **(
                        {'attach_status': 'detached'} if kind == 'volume'
                        else {})}})
            self.delete(kind, its_id)
        except Failed as e:
            said.append(str(e))
            return False
        return True

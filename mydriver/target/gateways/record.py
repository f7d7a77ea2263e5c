# SPDX-License-Identifier: Apache-2.0
"""The ownership record of a target: who serves it, and whom to fence.

It is stored as JSON. What cannot be read is an error, never "no owner": the
next gateway would not fence the previous one.
"""

from collections.abc import Iterable
import dataclasses
import json
import re
from typing import Any, Self

from mydriver import exception
from mydriver.ceph import clients

#: A Ceph client, of which an owner has some.
Client = clients.Client

#: Version of the stored form.
VERSION = 1

_NAME = re.compile(r'[A-Za-z0-9]([A-Za-z0-9._-]{0,252}[A-Za-z0-9])?\Z',
                   re.ASCII)
_KEYS = frozenset({'version', 'epoch', 'owner', 'clients', 'fence',
                   'released'})
#: Longest record in bytes; each takeover without a release adds about 25.
_MAX_BYTES = 1 << 20


@dataclasses.dataclass(frozen=True, slots=True)
class OwnershipRecord:
    """Who owns a target.

    :param epoch: rises with each change of owner; 0 before the first.
    :param owner: name of the gateway, None when it let go of the target.
    :param clients: clients through which the owner maps the images.
    :param fence: clients of earlier owners that did not let go: each must be
        in the blocklist before an image is mapped. They stay here for good,
        because a host that is cut off may come back at any time.
    :param released: the last owner unmapped everything and said so. Then
        there is no owner and no client of one.
    :raises ValueError: when these contradict each other.
    """

    epoch: int = 0
    owner: str | None = None
    clients: tuple[Client, ...] = ()
    fence: tuple[Client, ...] = ()
    released: bool = True

    def __post_init__(self) -> None:
        if type(self.epoch) is not int or self.epoch < 0:
            raise ValueError('the epoch is not a number from 0')
        if self.owner is not None and not _NAME.match(self.owner):
            raise ValueError('the owner is not a name of a gateway')
        if self.released != (self.owner is None):
            raise ValueError('released must be true exactly without an owner')
        if bool(self.clients) != (self.owner is not None):
            raise ValueError('an owner has clients, and only an owner')
        if self.owner is not None and not self.epoch:
            raise ValueError('epoch 0 has no owner')
        for group in (self.clients, self.fence):
            if list(group) != sorted(set(group)):
                raise ValueError('clients are not unique and sorted')
        if set(self.clients) & set(self.fence):
            raise ValueError("the owner's own client is to be fenced")

    def taken(self, owner: str, client: Client) -> Self:
        """Return the record of the next owner.

        Unless the present owner released the target, its clients join those
        to fence, also when it has the same name: what an earlier run of a
        gateway has mapped or in flight is nobody's any more.

        :param owner: name of the gateway that takes over.
        :param client: its client, which no owner has used before.
        :raises ValueError: when the client is that of an earlier owner.
        """
        fence = sorted({*self.fence, *self.clients})
        return type(self)(self.epoch + 1, owner, (client,), tuple(fence),
                          released=False)

    def let_go(self) -> Self:
        """Return the record of a target whose owner has unmapped everything.

        Those that had to be fenced for it stay listed.
        """
        return type(self)(self.epoch, fence=self.fence)

    def dump(self) -> str:
        """Return the stored form, JSON in ASCII."""
        return json.dumps(
            {'version': VERSION, 'epoch': self.epoch, 'owner': self.owner,
             'clients': [str(c) for c in self.clients],
             'fence': [str(c) for c in self.fence],
             'released': self.released}, separators=(',', ':'))

    @classmethod
    def parse(cls, target: str, text: str) -> Self:
        """Parse the stored form.

        :param target: of which it is the record, for the error's text.
        :raises OwnershipDamaged: when it is not exactly what :meth:`dump`
            writes.
        """
        try:
            return cls._parse(text)
        except (ValueError, RecursionError) as e:
            raise exception.OwnershipDamaged(target, str(e)) from e

    @classmethod
    def _parse(cls, text: str) -> Self:
        if len(text) > _MAX_BYTES:
            raise ValueError(f'it is longer than {_MAX_BYTES} bytes')
        found = json.loads(text, object_pairs_hook=_unique)
        if not isinstance(found, dict) or found.keys() != _KEYS:
            raise ValueError('its fields are not those of a record')
        if type(found['version']) is not int or found['version'] != VERSION:
            raise ValueError(
                f'its version is {exception.shown(found["version"])}, not '
                f'{VERSION}')
        if not isinstance(found['released'], bool):
            raise ValueError('released is neither true nor false')
        if not isinstance(found['owner'], str | None):
            raise ValueError('the owner is not a text')
        return cls(found['epoch'], found['owner'], _clients(found['clients']),
                   _clients(found['fence']), found['released'])


def _clients(found: object) -> tuple[Client, ...]:
    if not isinstance(found, list):
        raise ValueError('clients are not a list')
    return tuple(Client.parse(text) for text in found)


def _unique(pairs: Iterable[tuple[str, Any]]) -> dict[str, Any]:
    """Return a JSON object; of a doubled field, either value may be wrong."""
    found: dict[str, Any] = {}
    for name, value in pairs:
        if name in found:
            raise ValueError(f'{exception.shown(name)} is there twice')
        found[name] = value
    return found

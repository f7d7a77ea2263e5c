# SPDX-License-Identifier: Apache-2.0
"""Attaches that Cinder has not recorded yet.

A host has one mapping of a volume for all of its servers. The mapping must
stay when one server detaches while another is being attached, but the manager
records the connector of an attachment only after ``initialize_connection``
has returned, and takes no lock around the two. Nova serialises the two for
servers that are deleted, but not for attaches. So we remember which
attachments may be under way.

The same holds for the note that a host uses a volume natively, which also
keeps the volume from being exported: there, every attach is remembered, not
only those of multiattach volumes.

When the last two servers of a host detach at the same time, each call still
finds the other's record, and neither is the last. So we also remember for
which hosts a mapping was kept, and remove it when the volume is deleted.

The services of one Cinder cluster share what they remember (:class:`Shared`):
an attach may go through one of them, and a detach through another.

Nothing here imports cinder.
"""

from collections.abc import Callable, Iterable
import dataclasses
import json
from typing import Any, Protocol, TypeVar

from mydriver import exception, model
from mydriver.ceph import omap
from mydriver.cinder_volume import attachments
from mydriver.connection import HostName

_R = TypeVar('_R')

#: Object with what the services of a cluster remember: a value for each
#: volume.
OBJECT = 'mydriver.attaches'


@dataclasses.dataclass(slots=True)
class Noted:
    """What is remembered of a volume.

    :param ids: the attachments that may be under way, by their host.
    :param kept: hosts whose mapping outlived one of their attachments.
    :param read: the stored form that it was read from.
    """

    ids: dict[attachments.User, frozenset[str]] = dataclasses.field(
        default_factory=dict)
    kept: set[attachments.User] = dataclasses.field(default_factory=set)
    read: str = ''

    def dump(self) -> str:
        """Return the stored form: JSON in ASCII, empty for nothing."""
        if not self.ids and not self.kept:
            return ''
        return json.dumps({
            'ids': {_text(user): sorted(ids) for user, ids
                    in sorted(self.ids.items(), key=lambda i: _text(i[0]))},
            'kept': sorted(map(_text, self.kept))})

    @classmethod
    def parse(cls, text: str) -> 'Noted':
        """Parse the stored form.

        :raises ValueError: when it is damaged.
        """
        if not text:
            return cls()
        try:
            found = json.loads(text)
            if not text.isascii():
                raise ValueError('it is not ASCII')
            return cls({_user(user): frozenset(map(str, ids))
                        for user, ids in found['ids'].items()},
                       set(map(_user, found['kept'])), text)
        except (KeyError, TypeError, AttributeError, exception.MyDriverError
                ) as e:
            raise ValueError(str(e)) from e


class Storage(Protocol):
    """Where it is remembered; the caller holds the volume's lock.

    A service that has lost the lock unawares overwrites nothing.
    """

    def load(self, volume_id: str) -> Noted:
        """Return what is remembered of a volume."""

    def save(self, volume_id: str, noted: Noted) -> bool:
        """Remember something of a volume.

        :param noted: as it was loaded, and changed.
        :returns: False when it has been changed since: load it again.
        """


class Memory:
    """What only this run remembers.

    After a restart nothing is under way: the RPC call of each such attach
    failed along with the service.
    """

    def __init__(self) -> None:
        self._noted: dict[str, Noted] = {}

    def load(self, volume_id: str) -> Noted:
        """See :meth:`Storage.load`."""
        return self._noted.get(volume_id) or Noted()

    def save(self, volume_id: str, noted: Noted) -> bool:
        """See :meth:`Storage.save`."""
        if noted.ids or noted.kept:
            self._noted[volume_id] = noted
        else:
            self._noted.pop(volume_id, None)
        return True


class Shared:
    """What all services of a cluster remember, in an object in Ceph.

    An attach that a service was killed in is not under way any more once
    Cinder has removed its attachment, or the volume is deleted.

    :param objects: of the backend's namespace.
    """

    def __init__(self, objects: omap.Objects) -> None:
        self._objects = objects

    def load(self, volume_id: str) -> Noted:
        """See :meth:`Storage.load`.

        :raises StoreError: when it is damaged.
        """
        found = self._objects.read(OBJECT, [volume_id])
        try:
            return Noted.parse(found.values.get(volume_id, '') if found
                               else '')
        except ValueError as e:
            raise exception.StoreError(
                f'tell who attaches volume {volume_id}',
                f'its entry in {self._objects.where}/{OBJECT} is damaged: {e}'
                ) from e

    def save(self, volume_id: str, noted: Noted) -> bool:
        """See :meth:`Storage.save`."""
        text = noted.dump()
        if text == noted.read:
            return True
        put = {volume_id: text} if text else {}
        outcome = self._objects.write(OBJECT, put, () if put else [volume_id],
                                      where={volume_id: noted.read})
        if outcome is omap.Outcome.MISSING and put:
            outcome = self._objects.write(OBJECT, put, new=True)
        return outcome is omap.Outcome.DONE


class InFlight:
    """The connections that Cinder may not have recorded.

    Every call holds the volume's lock.

    :param storage: where they are remembered.
    """

    def __init__(self, storage: Storage | None = None) -> None:
        self._storage = storage or Memory()

    def begin(self, volume: Any, user: attachments.User) -> None:
        """Remember an attach, by the attachments that it may belong to."""
        def note(noted: Noted) -> None:
            noted.ids[user] = frozenset(
                a.id for a in volume.volume_attachment if not a.connector)

        if volume.multiattach or isinstance(user, HostName):
            self._change(volume, note)

    def drop_finished(self, volume: Any, user: attachments.User,
                      load: Callable[[], Iterable[Any]]) -> bool:
        """Forget the attaches of a host that Cinder has recorded by now.

        :param load: returns the present attachments of the volume; called
            only when an attach may be under way.
        :returns: True when the host may still be attaching the volume, or
            has it attached more than once.
        """
        def drop(noted: Noted) -> bool:
            if user not in noted.ids:
                return False
            ids = noted.ids.pop(user)
            present = list(load()) if ids else []
            waiting = frozenset(
                a.id for a in present if a.id in ids and not a.connector)
            if waiting:
                noted.ids[user] = waiting
            return bool(ids) and (
                bool(waiting) or attachments.users(present, user) > 1)

        return self._change(volume, drop)

    def is_pending(self, volume: Any, user: attachments.User,
                   present: Iterable[Any]) -> bool:
        """Tell whether a host may be attaching a volume.

        :param present: the present attachments of the volume.
        """
        ids = self._storage.load(volume.id).ids.get(user, frozenset())
        return any(a.id in ids and not a.connector for a in present)

    def kept(self, volume: Any, user: attachments.User) -> None:
        """Remember that a host's mapping outlived one of its attachments."""
        self._change(volume, lambda noted: noted.kept.add(user))

    def forget(self, volume: Any) -> frozenset[attachments.User]:
        """Forget a volume.

        :returns: the hosts of :meth:`kept` that Cinder has no attachment of.
        """
        def clear(noted: Noted) -> frozenset[attachments.User]:
            kept = frozenset(noted.kept)
            noted.ids.clear()
            noted.kept.clear()
            return kept

        return frozenset(
            i for i in self._change(volume, clear)
            if not attachments.users(volume.volume_attachment, i))

    def _change(self, volume: Any, step: Callable[[Noted], _R]) -> _R:
        """Change what is remembered of a volume.

        :param step: changes it; called again when another service has.
        :returns: what the step returned.
        """
        while True:
            noted = self._storage.load(volume.id)
            result = step(noted)
            if self._storage.save(volume.id, noted):
                return result


def _text(user: attachments.User) -> str:
    return f'{"host" if isinstance(user, HostName) else "initiator"} {user}'


def _user(text: str) -> attachments.User:
    kind, _, name = text.partition(' ')
    if kind == 'host':
        return HostName(name)
    if kind == 'initiator':
        return model.Iqn(name)
    raise ValueError(f'{exception.shown(text)} is no host')

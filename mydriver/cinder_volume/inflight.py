# SPDX-License-Identifier: Apache-2.0
"""Attaches of multiattach volumes that Cinder has not recorded yet.

A host has one mapping of a volume for all of its servers. The mapping must
stay when one server detaches while another is being attached, but the manager
records the connector of an attachment only after ``initialize_connection``
has returned, and takes no lock around the two. Nova serialises the two for
servers that are deleted, but not for attaches. So we remember which
attachments may be under way.

When the last two servers of a host detach at the same time, each call still
finds the other's record, and neither is the last. So we also remember for
which hosts a mapping was kept, and remove it when the volume is deleted.

Nothing here imports cinder.
"""

from collections.abc import Callable, Iterable
from typing import Any

from mydriver import model
from mydriver.cinder_volume import attachments


class InFlight:
    """The connections of this run that Cinder may not have recorded.

    Every call holds the volume's lock. After a restart nothing is under way:
    the RPC call of each such attach failed along with the service.
    """

    def __init__(self) -> None:
        self._ids: dict[tuple[str, model.Iqn], frozenset[str]] = {}
        self._kept: dict[str, set[model.Iqn]] = {}

    def begin(self, volume: Any, initiator: model.Iqn) -> None:
        """Remember an attach, by the attachments that it may belong to."""
        if volume.multiattach:
            self._ids[volume.id, initiator] = frozenset(
                a.id for a in volume.volume_attachment if not a.connector)

    def drop_finished(self, volume: Any, initiator: model.Iqn,
                      load: Callable[[], Iterable[Any]]) -> bool:
        """Forget the attaches of a host that Cinder has recorded by now.

        :param load: returns the present attachments of the volume; called
            only when an attach may be under way.
        :returns: True when the host may still be attaching the volume, or
            has it attached more than once.
        """
        ids = self._ids.pop((volume.id, initiator), frozenset())
        if not ids:
            return False
        present = list(load())
        waiting = frozenset(
            a.id for a in present if a.id in ids and not a.connector)
        if waiting:
            self._ids[volume.id, initiator] = waiting
        return bool(waiting) or attachments.users(present, initiator) > 1

    def kept(self, volume: Any, initiator: model.Iqn) -> None:
        """Remember that a host's mapping outlived one of its attachments."""
        self._kept.setdefault(volume.id, set()).add(initiator)

    def forget(self, volume: Any) -> frozenset[model.Iqn]:
        """Forget a volume.

        :returns: the hosts of :meth:`kept` that Cinder has no attachment of.
        """
        for key in [k for k in self._ids if k[0] == volume.id]:
            del self._ids[key]
        return frozenset(
            i for i in self._kept.pop(volume.id, set())
            if not attachments.users(volume.volume_attachment, i))

# SPDX-License-Identifier: Apache-2.0
"""Attaches of multiattach volumes that Cinder has not recorded yet.

A host has one mapping of a volume for all of its servers. It must stay when
one server detaches while another is being attached, but the manager records
the connector of an attachment only after ``initialize_connection`` returned,
and takes no lock around the two. Nova serialises the two for servers that are
deleted, not for attaches. So we remember which attachments may be under way.

And when a host's last two servers detach at the same time, each call finds the
other one's record, and none is the last. So we remember as well for which
hosts a mapping was kept, to take it away when the volume is deleted.
"""

from collections.abc import Callable, Iterable
from typing import Any

from mydriver import model
from mydriver.cinder_volume import attachments


class InFlight:
    """What this run of the service handed out and Cinder may not know of.

    Every call holds the volume's lock. After a restart nothing is under way:
    the RPC call of each such attach failed with the service.
    """

    def __init__(self) -> None:
        self._ids: dict[tuple[str, model.Iqn], frozenset[str]] = {}
        self._kept: dict[str, set[model.Iqn]] = {}

    def begin(self, volume: Any, initiator: model.Iqn) -> None:
        """Remember an attach, by the records that it may belong to."""
        if volume.multiattach:
            self._ids[volume.id, initiator] = frozenset(
                a.id for a in volume.volume_attachment if not a.connector)

    def keeps(self, volume: Any, initiator: model.Iqn,
              load: Callable[[], Iterable[Any]]) -> bool:
        """Tell whether a host may be attaching what it detaches as well.

        :param load: returns the present attachments of the volume; called
            only when there is something to tell.
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
        """Return the hosts of :meth:`kept` that Cinder knows no more of.

        Nothing is remembered of a volume any more once this was called.
        """
        for key in [k for k in self._ids if k[0] == volume.id]:
            del self._ids[key]
        return frozenset(
            i for i in self._kept.pop(volume.id, set())
            if not attachments.users(volume.volume_attachment, i))

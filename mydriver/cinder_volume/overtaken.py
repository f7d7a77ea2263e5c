# SPDX-License-Identifier: Apache-2.0
"""Whether Cinder's records still say what a request began with.

A service of a cluster that stands still may carry out a request that Nova or
an administrator has given up, and repeated through another service.

Volumes and attachments are Cinder's objects, but only their attributes are
read: nothing here imports cinder.
"""

from collections.abc import Collection
from typing import Any

from mydriver import exception
from mydriver.cinder_volume import attachments, records


def refuse_ended(its_records: records.Records, volume: Any,
                 before: Collection[Any], user: str) -> None:
    """Check that nobody has ended the attachments that shall end.

    :param its_records: Cinder's database.
    :param before: those of the user when the request came.
    :param user: who is being detached, for the error.
    :raises Overtaken: when Cinder has none of them any more: what the user has
        now was attached later.
    """
    if before and {a.id for a in before}.isdisjoint(
            a.id for a in its_records.attachments(volume.id)):
        raise exception.Overtaken(
            volume.name_id, user, 'Cinder has no record of that attachment '
            'any more, so another service has ended it')


def refuse_attached(its_records: records.Records, volume: Any,
                    user: attachments.User) -> None:
    """Check that a host has not attached a volume that is to go.

    :param its_records: Cinder's database.
    :raises Overtaken: when it has, or may be about to.
    """
    if any(not a.connector or attachments.is_of(a, user)
           for a in its_records.attachments(volume.id)):
        raise exception.Overtaken.by_attach(volume.name_id, str(user))

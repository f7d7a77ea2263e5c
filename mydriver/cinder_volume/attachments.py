# SPDX-License-Identifier: Apache-2.0
"""The attachments of a volume: their hosts, and who may write.

Volumes and attachments are Cinder's objects, but only their attributes are
read: nothing here imports cinder.

Three settings decide who may write. Those of the volume apply to all of its
attachments: the administrator's metadata ``attached_mode`` (kept from
os-attach to detach), then ``readonly``, which Cinder does not let anybody
change while the volume is attached. Without either, each attachment has a
mode of its own. The manager puts it into the connector
(``VolumeManager.attachment_update``), where we read it. It must not be read
where ``readonly`` is set: Cinder then stores ``ro`` for any value of the flag,
even 'False' (``cinder.volume.api.API.attachment_create``).

An attachment's own mode never reaches ``access_mode``: the manager overwrites
that with the volume's (``_parse_connection_options``). The target refuses the
writes all the same. Nova asks for no mode. Those who do, such as Glance for
its image volumes, open the device in the mode that they asked for.
"""

from collections.abc import Iterable, Mapping
import enum
from typing import Any

from mydriver import exception, model
from mydriver.connection import HostName, Protocol, name_of

#: What identifies a host: its initiator over iSCSI, its name without a
#: target.
User = model.Iqn | HostName


class Access(enum.Enum):
    """Who may write to a volume, according to its own metadata."""

    READ_ONLY = 'ro'
    READ_WRITE = 'rw'
    PER_ATTACHMENT = 'per attachment'


def is_shared(volume: Any, user: User) -> bool:
    """Tell whether a host has a volume attached more than once.

    A host has one mapping however often it attaches (multiattach), and the
    attachment that is about to end is still among the records.
    """
    return users(volume.volume_attachment, user) > 1


def users(attachments: Iterable[Any], user: User) -> int:
    """Return how many attachments are those of a host."""
    return sum(is_of(a, user) for a in attachments)


def is_of(attachment: Any, user: User) -> bool:
    """Tell whether an attachment is a host's; in doubt over its protocol."""
    if isinstance(user, HostName):
        return (host_of(attachment) == user
                and protocol_of(attachment) in (None, Protocol.RBD))
    return (initiator_of(attachment) == user
            and protocol_of(attachment) != Protocol.RBD)


def access(volume: Any) -> Access:
    """Return what the metadata of a volume allows all attachments.

    The same rule as in VolumeManager._parse_connection_options: the target
    must not forbid what ``access_mode`` allows.
    """
    metadata = volume.admin_metadata
    mode, flag = metadata.get('attached_mode'), metadata.get('readonly')
    if mode is None and flag is None:
        return Access.PER_ATTACHMENT
    is_read_only = flag == 'True' if mode is None else mode == 'ro'
    return Access.READ_ONLY if is_read_only else Access.READ_WRITE


def is_read_only(volume: Any, connector: Mapping[str, Any]) -> bool:
    """Tell whether an attachment is for reading only.

    :param connector: as the manager passes it, with the attachment's mode.
    """
    whole = access(volume)
    if whole is Access.PER_ATTACHMENT:
        return bool(connector.get('mode') == 'ro')
    return whole is Access.READ_ONLY


def rest_reads_only(volume: Any, connector: Mapping[str, Any],
                    initiator: model.Iqn) -> bool:
    """Tell whether a host only reads after one of its attachments has ended.

    The driver does not know which one; any of the same mode will do.

    :param connector: of the attachment that ends; it is still recorded.
    """
    modes = [is_read_only(volume, a.connector) for a in
             volume.volume_attachment if is_of(a, initiator)]
    ending = is_read_only(volume, connector)
    if ending in modes:
        modes.remove(ending)
    return bool(modes) and all(modes)


def initiator_of(attachment: Any) -> model.Iqn | None:
    """Return the initiator of an attachment, None where it has none."""
    try:
        return model.Iqn((attachment.connector or {}).get('initiator', ''))
    except exception.InvalidIqn:
        return None


def host_of(attachment: Any) -> HostName | None:
    """Return the name of an attachment's host, None where it has none."""
    return name_of(attachment.connector or {})


def protocol_of(attachment: Any) -> str | None:
    """Return the ``driver_volume_type`` of an attachment.

    None until Cinder has recorded it, which is later than the connector.
    """
    told = attachment.connection_info
    found = told.get('driver_volume_type') if told else None
    return found if isinstance(found, str) else None

# SPDX-License-Identifier: Apache-2.0
"""What Cinder's records say about who uses a volume, and how.

Volumes and attachments are Cinder's objects, but only their attributes are
read: nothing here imports cinder.

Who may write is said in three places. What is said of the whole volume holds
for each of its attachments: the administrator's metadata ``attached_mode``
(kept from os-attach to detach), then ``readonly``, which Cinder lets nobody
change while the volume is attached. Where neither is there, each attachment
has a mode of its own. The manager puts it into the connector
(``VolumeManager.attachment_update``), and so do we read it there. It must not
be read where ``readonly`` is set: Cinder then stores ``ro`` for any value of
the flag, also for 'False' (``cinder.volume.api.API.attachment_create``).

A mode of its own never gets into ``access_mode``: the manager overwrites that
with what holds for the volume (``_parse_connection_options``). The target
refuses the writes all the same. Nova asks for no mode; who does, such as
Glance for its image volumes, opens the device as it asked.
"""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from mydriver import exception, model

# While a volume is in one of these, another process than cinder-volume may
# have it connected without an attachment that names its initiator:
# cinder-backup (cinder/backup/manager.py, _attach_device) and the
# cinder-volume at the other end of a migration (cinder/volume/driver.py,
# _attach_volume with remote=True).
_USED_WITHOUT_RECORD = frozenset({'backing-up', 'restoring-backup'})
_MIGRATING = frozenset({'starting', 'migrating', 'completing'})


def is_shared(volume: Any, initiator: model.Iqn) -> bool:
    """Tell whether a host has a volume attached more than once.

    A host has one mapping however often it attaches (multiattach), and the
    attachment that is about to end is still among the records.
    """
    return users(volume.volume_attachment, initiator) > 1


def users(attachments: Iterable[Any], initiator: model.Iqn) -> int:
    """Return how many attachments are those of a host."""
    return sum(_initiator(a) == initiator for a in attachments)


def of_volume(volume: Any) -> bool | None:
    """Tell whether all hosts may only read, None where each may ask.

    The same rule as in VolumeManager._parse_connection_options: the target
    must not forbid what ``access_mode`` allows to all.
    """
    metadata = volume.admin_metadata
    mode = metadata.get('attached_mode')
    if mode is not None:
        return bool(mode == 'ro')
    flag = metadata.get('readonly')
    return None if flag is None else bool(flag == 'True')


def is_read_only(volume: Any, connector: Mapping[str, Any]) -> bool:
    """Tell whether an attachment is for reading only.

    :param connector: as the manager passes it, with the attachment's mode.
    """
    whole = of_volume(volume)
    return bool(connector.get('mode') == 'ro') if whole is None else whole


def rest_reads_only(volume: Any, connector: Mapping[str, Any],
                    initiator: model.Iqn) -> bool:
    """Tell whether a host only reads once one of its attachments ended.

    The driver is not told which one it is: one of the same mode.

    :param connector: of the attachment that ends; it is still recorded.
    """
    modes = [is_read_only(volume, a.connector) for a in
             volume.volume_attachment if _initiator(a) == initiator]
    ending = is_read_only(volume, connector)
    if ending in modes:
        modes.remove(ending)
    return bool(modes) and all(modes)


def liveness(load: Callable[[], Iterable[Any]]
             ) -> Callable[[str, model.Iqn], bool]:
    """Return what tells whether a mapping must stay when the service starts.

    :param load: returns all volumes of the backend; called once, and only
        when there is something to tell.
    :returns: a function of the volume's backing and the initiator.
    """
    volumes: dict[str, Any] = {}
    loaded = False

    def is_live(volume_id: str, initiator: model.Iqn) -> bool:
        nonlocal loaded
        if not loaded:
            volumes.update((v.name_id, v) for v in load())
            loaded = True
        volume = volumes.get(volume_id)
        return volume is not None and _may_use(volume, initiator)

    return is_live


def _may_use(volume: Any, initiator: model.Iqn) -> bool:
    """Tell whether an initiator may be using a volume; in doubt, it is."""
    if (volume.status in _USED_WITHOUT_RECORD
            or volume.migration_status in _MIGRATING):
        return True
    return any(
        _initiator(a) == initiator
        # os-attach of old clients leaves no connector behind.
        or (not a.connector and a.attach_status == 'attached')
        for a in volume.volume_attachment)


def _initiator(attachment: Any) -> model.Iqn | None:
    """Return the initiator of an attachment, None where it has none."""
    try:
        return model.Iqn((attachment.connector or {}).get('initiator', ''))
    except exception.InvalidIqn:
        return None

# SPDX-License-Identifier: Apache-2.0
"""What Cinder's records say about who uses a volume.

Volumes and attachments are Cinder's objects, but only their attributes are
read: nothing here imports cinder.
"""

from collections.abc import Callable, Iterable
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
    return sum(_initiator(a) == initiator
               for a in volume.volume_attachment) > 1


def is_read_only(volume: Any) -> bool:
    """Tell whether hosts are told that they may only read.

    The same rule as in VolumeManager._parse_connection_options: the target
    must not forbid what ``access_mode`` allows. The connector's ``mode`` is
    no guide: Cinder sets it to ``ro`` for any value of the ``readonly`` flag,
    also for 'False' (cinder/volume/api.py, attachment_create).
    """
    metadata = volume.admin_metadata
    mode = metadata.get('attached_mode')
    if mode is None:
        return bool(metadata.get('readonly') == 'True')
    return bool(mode == 'ro')


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

# SPDX-License-Identifier: Apache-2.0
"""Which hosts may be using a volume at start-up, by Cinder's records.

Volumes and attachments are Cinder's objects, but only their attributes are
read: nothing here imports cinder.
"""

from collections.abc import Collection
import functools
from typing import Any

from oslo_log import log as logging

from mydriver import connection, exception, model
from mydriver.cinder_volume import attachments, records
from mydriver.connection import iscsi
from mydriver.target import recorded

LOG = logging.getLogger(__name__)

# While a volume is in one of these, a process other than cinder-volume may
# have it connected without an attachment that names its initiator:
# cinder-backup (cinder/backup/manager.py, _attach_device) and the
# cinder-volume at the other end of a migration (cinder/volume/driver.py,
# _attach_volume with remote=True).
_USED_WITHOUT_RECORD = frozenset({'backing-up', 'restoring-backup'})
_MIGRATING = frozenset({'starting', 'migrating', 'completing'})
# The volume that a migration fills (cinder/volume/manager.py,
# _migrate_volume_generic).
_MIGRATION_TARGET = 'target:'


class Users:
    """Which hosts may be using a volume when the service starts.

    That something is missing from an answer proves nothing by itself: the
    host may have another name now, the database may be an old copy or that of
    another cloud, a query may fail. So a user is gone only where Cinder knows
    the volume and has no attachment of it, or has deleted the volume, or has
    never heard of it but knows others of ours, and the store has no such
    backing: one that is younger than the copy of a database is still there.

    :param records: Cinder's database, queried on the first question only.
    :param backings: the ids of all that the backend has or exports.
    :param stored: those in the store, None if it cannot list them.
    """

    def __init__(self, records: records.Records, backings: Collection[str],
                 stored: Collection[str] | None = None) -> None:
        self._records = records
        self._backings = frozenset(backings)
        self._stored = stored
        #: Cinder has answered for every volume, and the store as well.
        self.are_known = stored is not None

    def may_use(self, volume_id: str, user: attachments.User | None) -> bool:
        """Tell whether a host may be using a volume; in doubt, it is.

        :param volume_id: of the backing.
        :param user: a host that has it mapped, or uses it natively; None asks
            for any that needs its export.
        """
        try:
            return self._may_use(volume_id, user)
        except Exception as e:
            # The database's errors are of many kinds, and none is an answer.
            LOG.warning('Cinder cannot tell who uses volume %s, so it stays '
                        'as it is: %s', volume_id, e)
            return True

    def recorded(self, backend: str) -> list[recorded.Recorded]:
        """Return the mappings that Cinder has attachments for.

        Empty if Cinder cannot tell. A volume that Cinder has on another
        backend may have an old backing on this one, left by a migration.

        :param backend: name of the backend that the volumes have to be on.
        """
        found: list[recorded.Recorded] = []
        try:
            volumes = self._volumes
        except Exception as e:
            LOG.warning('Cinder cannot tell which volumes are attached: %s', e)
            self.are_known = False
            return found
        for volume in volumes:
            try:
                if _backend_of(volume) == backend:
                    found += filter(None, (
                        _recorded(volume, a)
                        for a in volume.volume_attachment))
            except Exception as e:  # of this one
                LOG.warning('Cinder cannot tell who uses volume %s: %s',
                            volume.id, e)
                self.are_known = False
        return found

    @functools.cached_property
    def _volumes(self) -> tuple[Any, ...]:
        return tuple(self._records.of_backings(self._backings))

    @functools.cached_property
    def _by_id(self) -> dict[str, list[Any]]:
        found: dict[str, list[Any]] = {}
        for volume in self._volumes:
            for its_id in {volume.id, volume.name_id}:
                found.setdefault(its_id, []).append(volume)
        return found

    @functools.cached_property
    def _is_our_database(self) -> bool:
        """Tell whether Cinder knows, or knew, any of the backings."""
        return bool(self._volumes or self._records.deleted(self._backings))

    def _may_use(self, volume_id: str, user: attachments.User | None) -> bool:
        if any(_may_use(v, volume_id, user)
               for v in self._by_id.get(volume_id, ())):
            return True
        # Asked again for this one, which the long answer may have lacked.
        found = self._records.of_backings([volume_id])
        if found:
            return any(_may_use(v, volume_id, user) for v in found)
        if self._records.deleted([volume_id]):
            return False
        if self._is_our_database:
            return self._is_stored(volume_id)
        LOG.warning(
            'Cinder knows none of the %d volumes of this backend. Is '
            '[database] connection that of this cloud? Volume %s stays as it '
            'is',
            len(self._backings), volume_id)
        return True

    def _is_stored(self, volume_id: str) -> bool:
        """Tell whether there is a volume that Cinder has never heard of."""
        if self._stored is not None and volume_id not in self._stored:
            return False
        LOG.warning(
            'Cinder has never heard of volume %s, but the store has it. Is '
            'the database an old copy? The volume stays as it is', volume_id)
        return True


def _may_use(volume: Any, volume_id: str, user: attachments.User | None
             ) -> bool:
    """Tell whether a host may be using a backing; in doubt, it is."""
    migration = volume.migration_status or ''
    if (volume.status in _USED_WITHOUT_RECORD or migration in _MIGRATING
            or migration.startswith(_MIGRATION_TARGET)):
        return True
    if volume.name_id != volume_id:
        return False  # it had this backing before a migration
    return any(
        (a.connector and attachments.protocol_of(a) != connection.Protocol.RBD
         if user is None else attachments.is_of(a, user))
        # os-attach of old clients leaves no connector behind.
        or (not a.connector and a.attach_status == 'attached')
        for a in volume.volume_attachment)


def _backend_of(volume: Any) -> str:
    """Return the name of the backend that Cinder has a volume on."""
    # HOST@BACKEND#POOL; the name of the host may have changed.
    place = str(volume.host or volume.cluster_name or '')
    return place.partition('@')[2].partition('#')[0]


def _recorded(volume: Any, attachment: Any) -> recorded.Recorded | None:
    """Return the mapping that an attachment stands for.

    :returns: None where it is not one of ours, or does not tell enough.
    """
    initiator = attachments.initiator_of(attachment)
    data = attachment.connection_info
    if (initiator is None or not data
            or data.get('driver_volume_type') != connection.Protocol.ISCSI):
        return None
    try:
        told = iscsi.Connection.parse(data)
    except (exception.MyDriverError, KeyError, TypeError, ValueError):
        return None
    if told.volume_id != volume.name_id:
        return None  # of the backing before a migration, or another driver's
    if len({(p.target, p.lun) for p in told.paths}) > 1:
        return None  # another driver's: ours maps a volume at one target
    path = told.paths[0]
    read_only = all(
        attachments.is_read_only(volume, a.connector)
        for a in volume.volume_attachment
        if attachments.is_of(a, initiator))
    return recorded.Recorded(
        model.Mapping(told.volume_id, initiator, path.lun, read_only),
        path.target, told.chap, told.portals)

# SPDX-License-Identifier: Apache-2.0
"""Stores whose volumes hosts can also use without a target.

Such hosts speak the store's own protocol (Ceph RBD, with librbd in QEMU). The
store does not see them come and go, so each is noted beside the volume, and
the volume is not exported while one is noted: two ways to one disk would mean
two caches and two locks.
"""

from collections.abc import Mapping
import dataclasses
from typing import Protocol, cast

from mydriver import model
from mydriver.stores import base


@dataclasses.dataclass(frozen=True, slots=True)
class NativeLocation:
    """Where a host finds a volume.

    :param pool: the volume's pool in the cluster.
    :param image: its name there.
    :param user: the client with whose key hosts use it, without ``client.``.
    :param monitors: addresses of the cluster's monitors, at least one.
    :param fsid: the cluster's id, a UUID.
    :param cluster: name of the cluster in the names of its files on hosts.
    """

    pool: str
    image: str
    user: str
    monitors: tuple[model.Portal, ...]
    fsid: str
    cluster: str = 'ceph'


class NativeStore(base.VolumeStore, Protocol):
    """A store whose trait ``native`` is set.

    Notes of users belong to one volume: they follow when it is renamed, go
    when it is deleted, and no copy of the volume inherits them. They are
    durable when a method returns, and every process that uses the store sees
    them at once. Each time that a user is noted, its note gets another
    version.
    """

    def native_location(self, name: str) -> NativeLocation:
        """Return where hosts find a volume, which need not be up.

        :raises BackingNotFound: when there is no such backing.
        :raises StoreError: when the cluster cannot tell.
        """

    def native_users(self, name: str) -> tuple[str, ...]:
        """Return who is noted as a user of a volume, sorted.

        :raises BackingNotFound: when there is no such backing.
        :raises StoreError: when the notes cannot be read.
        """

    def native_notes(self, name: str) -> Mapping[str, str]:
        """Return the versions of the notes of a volume, by user.

        The errors are those of :meth:`native_users`.
        """

    def add_native_user(self, name: str, user: str) -> str:
        """Note a user of a volume; fine when it is noted.

        :param user: printable text of 1 to 255 characters.
        :returns: the version of the note.
        :raises BackingNotFound: when there is no such backing.
        """

    def drop_native_user(self, name: str, user: str,
                         version: str | None = None) -> bool:
        """Remove the note of a user; fine when there is none, or no backing.

        :param user: as it was added.
        :param version: as the note was read; None for any.
        :returns: False when the note has another version, and was kept.
        """


def of(store: base.VolumeStore) -> NativeStore | None:
    """Return a store with its native methods, None when it has none."""
    return cast(NativeStore, store) if store.traits.native else None

# SPDX-License-Identifier: Apache-2.0
"""The queries that the driver sends to Cinder's database.

Nothing here imports cinder: :mod:`.database` asks the real one.
"""

from collections.abc import Collection, Iterable, Mapping
from typing import Any, Protocol


class Records(Protocol):
    """Cinder's database, as far as the driver needs it.

    Volumes and attachments are Cinder's objects. A method that cannot answer
    raises whatever went wrong.
    """

    def of_backings(self, ids: Collection[str]) -> Collection[Any]:
        """Return the volumes that have, or whose backing has, one of the ids.

        Wherever they are: on any host, in any cluster, of any project.
        """

    def deleted(self, ids: Collection[str]) -> Collection[str]:
        """Return the ids among these of volumes that Cinder has deleted."""

    def of_host(self, host: str) -> Collection[Any]:
        """Return the volumes that Cinder has on a host.

        There may be others of its backend, from before the host was renamed.

        :param host: ``HOST@BACKEND``.
        """

    def attachments(self, volume_id: str) -> Iterable[Any]:
        """Return the present attachments of a volume."""

    def admin_metadata(self, volume_id: str) -> Mapping[str, str]:
        """Return the administrator's metadata of a volume."""

    def of_cluster(self, cluster: str) -> Collection[Any]:
        """Return the volumes that Cinder has in a cluster.

        :param cluster: ``CLUSTER@BACKEND``.
        """

    def has_snapshots(self, volume_id: str) -> bool:
        """Tell whether a volume has snapshots."""

    def has_snapshot(self, snapshot_id: str) -> bool:
        """Tell whether Cinder has a snapshot of that id."""

# SPDX-License-Identifier: Apache-2.0
"""The devices that the export service exports, from the backend's store."""

from mydriver import model
from mydriver.stores import base, names


class StoreDevices:
    """The devices of a store; see :class:`mydriver.target.devices.Devices`.

    :param store: the backend's store.
    """

    def __init__(self, store: base.VolumeStore) -> None:
        self._store = store

    def bring_up(self, volume_id: str) -> model.BackingDevice:
        """See :meth:`mydriver.target.devices.Devices.bring_up`."""
        return self._store.bring_up(names.volume_name(volume_id))

    def let_down(self, volume_id: str) -> None:
        """See :meth:`mydriver.target.devices.Devices.let_down`."""
        self._store.let_down(names.volume_name(volume_id))

# SPDX-License-Identifier: Apache-2.0
"""The devices that the export service exports, from the backend's store."""

from mydriver import exception, model
from mydriver.stores import base, names, native


class StoreDevices:
    """The devices of a store; see :class:`mydriver.target.devices.Devices`.

    :param store: the backend's store.
    """

    def __init__(self, store: base.VolumeStore) -> None:
        self._store = store

    def bring_up(self, volume_id: str) -> model.BackingDevice:
        """See :meth:`mydriver.target.devices.Devices.bring_up`.

        Whoever exports a volume, or reads it here, asks for its device, so
        this is where it is refused while hosts use the volume natively. A
        device would take the image's lock away from them.

        :raises UsedNatively: while they do.
        """
        name = names.volume_name(volume_id)
        _refuse_native_users(self._store, name, volume_id)
        return self._store.bring_up(name)

    def let_down(self, volume_id: str) -> None:
        """See :meth:`mydriver.target.devices.Devices.let_down`."""
        self._store.let_down(names.volume_name(volume_id))


class DistantDevices:
    """The devices that gateways bring up; here they are only described.

    :param store: the backend's store.
    """

    def __init__(self, store: base.VolumeStore) -> None:
        self._store = store

    def bring_up(self, volume_id: str) -> model.BackingDevice:
        """Return the device, which the target's owner brings up.

        :raises UsedNatively: while hosts use the volume natively. Nobody asks
            on the gateways: this is where it is refused.
        """
        name = names.volume_name(volume_id)
        _refuse_native_users(self._store, name, volume_id)
        return self._store.device(name)

    def let_down(self, volume_id: str) -> None:
        """Do nothing: the target's owner lets it down."""


def _refuse_native_users(store: base.VolumeStore, name: str, volume_id: str
                         ) -> None:
    """Check that no host uses a volume natively.

    :raises UsedNatively: while hosts do.
    """
    without_target = native.of(store)
    if without_target is not None:
        hosts = without_target.native_users(name)
        if hosts:
            raise exception.UsedNatively(volume_id, ', '.join(hosts))

# SPDX-License-Identifier: Apache-2.0
"""Devices to export, without a store."""

import dataclasses
import os
from pathlib import Path

from mydriver import exception, model


class FolderDevices:
    """Files ``volume-UUID`` in a directory, as the reflink store has them."""

    def __init__(self, folder: str | Path) -> None:
        self._folder = Path(folder)

    def bring_up(self, volume_id: str) -> model.BackingDevice:
        """Return the file, with its present size."""
        path = self._folder / f'volume-{volume_id}'
        if not path.exists():
            raise exception.BackingNotFound(path.name, str(self._folder))
        return model.BackingDevice('fileio', str(path), path.stat().st_size)

    def let_down(self, volume_id: str) -> None:
        """Leave it."""


class MemoryDevices:
    """Devices that a test adds; it sees which are up, and in which order.

    :ivar known: the devices by volume, whether their files exist or not.
    :ivar up: the volumes whose devices are up.
    :ivar broken: volumes whose devices can be neither brought up nor let
        down.
    :ivar calls: what was asked, in order: ``bring_up`` or ``let_down``, and
        the volume.
    """

    def __init__(self) -> None:
        self.known: dict[str, model.BackingDevice] = {}
        self.up: set[str] = set()
        self.broken: set[str] = set()
        self.calls: list[tuple[str, str]] = []

    def bring_up(self, volume_id: str) -> model.BackingDevice:
        """Return a device, with the present size of its file."""
        self._call('bring_up', volume_id)
        try:
            device = self.known[volume_id]
        except KeyError:
            raise exception.BackingNotFound(volume_id, 'memory') from None
        self.up.add(volume_id)
        if not os.path.exists(device.path):
            return device
        return dataclasses.replace(
            device, size_bytes=os.path.getsize(device.path))

    def let_down(self, volume_id: str) -> None:
        """Forget that a device is up."""
        self._call('let_down', volume_id)
        self.up.discard(volume_id)

    def _call(self, name: str, volume_id: str) -> None:
        self.calls.append((name, volume_id))
        if volume_id in self.broken:
            raise exception.StoreError(name, 'it is broken')

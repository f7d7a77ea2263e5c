# SPDX-License-Identifier: Apache-2.0
"""Ways to the data of an image: a device on this host, or natively."""

from collections.abc import Mapping
from typing import Any

from mydriver import model
from mydriver.ceph import blocking, notes
from mydriver.stores import native, refusals
from mydriver.stores.rbd import core, images, mapped


class Access(core.Core):
    """Devices, and hosts without a target; see :mod:`mydriver.stores`."""

    # -- life of a device

    def device(self, name: str) -> model.BackingDevice:
        """Return the path that the image has when it is mapped."""
        refusals.refuse_odd_name(name)
        with self.pool.work(f'look for {name}') as io:
            return self.device_of(io, name, self.find(io, name))

    def bring_up(self, name: str) -> model.BackingDevice:
        """Map the image on this host."""
        with self.working(f'map {name}', name) as io:
            its_id = self.find(io, name)
            found = self.device_of(io, name, its_id)
            if self.keeper.is_shared:
                mapped.note(io, name)
            self.host.bring_up(io, name, its_id)
            return found

    def let_down(self, name: str) -> None:
        """Unmap the image."""
        refusals.refuse_odd_name(name)
        with self.pool.work(f'unmap {name}') as io:
            self.host.let_down(name)
            if self.keeper.is_shared:
                mapped.forget(io, name)

    # -- hosts without a target

    def native_location(self, name: str) -> native.NativeLocation:
        """Return the image, and the monitors that the cluster has now."""
        refusals.refuse_odd_name(name)
        with self.pool.work(f'locate {name}') as io:
            self.find(io, name)
            return native.NativeLocation(
                self.pool.name, name, self.pool.settings.user,
                self.pool.monitors(), self.pool.fsid())

    def native_users(self, name: str) -> tuple[str, ...]:
        """Return who is noted as a user of the image."""
        return tuple(self.native_notes(name))

    def native_notes(self, name: str) -> Mapping[str, str]:
        """Return the versions of the notes of the image."""
        refusals.refuse_odd_name(name)
        with self.pool.work(f'list the users of {name}') as io:
            return _versions(io, self.find(io, name))

    def add_native_user(self, name: str, user: str) -> str:
        """Note a user of the image."""
        refusals.refuse_odd_name(name)
        with self.pool.work(f'note a user of {name}') as io:
            return _add(io, self.find(io, name), user)

    def drop_native_user(self, name: str, user: str,
                         version: str | None = None) -> bool:
        """Remove the note of a user."""
        refusals.refuse_odd_name(name)
        with self.pool.work(f'forget a user of {name}') as io:
            its_id = images.id_of(io, name)
            return its_id is None or _drop(io, its_id, user, version)


@blocking.step
def _versions(io: Any, image_id: str) -> Mapping[str, str]:
    with images.opened(io, image_id=image_id, read_only=True) as image:
        return notes.versions(image)


@blocking.step
def _add(io: Any, image_id: str, user: str) -> str:
    with images.opened(io, image_id=image_id) as image:
        return notes.add(image, user)


@blocking.step
def _drop(io: Any, image_id: str, user: str, version: str | None) -> bool:
    if version is not None:
        return notes.drop_version(io, image_id, user, version)
    with images.opened(io, image_id=image_id) as image:
        notes.drop(image, user)
    return True

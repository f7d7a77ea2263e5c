# SPDX-License-Identifier: Apache-2.0
"""Images on this host: mapped by the kernel, with privileged verbs."""

from typing import Any

from mydriver import exception, waiting
from mydriver.privileged import channel, krbd
from mydriver.privileged.rbd import krbd as as_root
from mydriver.stores import names
from mydriver.stores.rbd import images, pool

#: A client that died is a watcher for this long (osd_client_watch_timeout).
WATCH_TIMEOUT_S = 35.0

#: How long a client may have an image open to change it.
_GLANCE_TIMEOUT_S = 10.0

#: More than a map may wait for the cluster and for the image's lock.
_MAP_TIMEOUT_S = 90.0


class Host:
    """The devices of a pool's images on this host.

    :param its_pool: the pool.
    """

    def __init__(self, its_pool: pool.Pool) -> None:
        self._pool = its_pool

    def path(self, name: str) -> str:
        """Return the path that the device of an image has, once it is up."""
        return krbd.Image('', self._pool.name, name).link

    def mapping(self, name: str) -> krbd.Mapping | None:
        """Return how an image is mapped here, None when it is not."""
        if not krbd.BUS.is_dir():
            return None
        return krbd.find(
            krbd.Image(self._pool.fsid(), self._pool.name, name))

    def bring_up(self, io: Any, name: str, image_id: str) -> None:
        """Map an image, unless it is mapped here.

        :raises StoreError: when a client elsewhere has it open.
        """
        found = self.mapping(name)
        if (found and found.image_id == image_id
                and found.is_at(found.image.link)):
            return
        self._refuse_used(io, name, image_id, found, WATCH_TIMEOUT_S)
        self._run(as_root.map_image, name, image_id,
                  not names.volume_id(name), timeout_s=_MAP_TIMEOUT_S)
        # Another host may have looked at the same time.
        try:
            self._refuse_used(io, name, image_id, self.mapping(name),
                              _GLANCE_TIMEOUT_S)
        except exception.StoreError:
            self.let_down(name)
            raise

    def _refuse_used(self, io: Any, name: str, image_id: str,
                     mine: krbd.Mapping | None, timeout_s: float) -> None:
        """Refuse an image that a client elsewhere has open.

        The kernel would map it: the clients would take the image's lock from
        each other in turn. A client that died goes after a while, and so does
        one that takes a snapshot.
        """
        def others() -> set[str]:
            known = {mine.client} if mine else set()
            return set(images.watchers(io, image_id)) - known

        try:
            waiting.wait_for(lambda: not others(), f'other clients of {name}',
                             timeout_s)
        except exception.WaitTimeout:
            raise exception.StoreError(
                f'map {name}', f'{", ".join(sorted(others()))} has it open'
                ) from None

    def let_down(self, name: str) -> None:
        """Unmap an image; it is fine when it is not mapped.

        :raises StoreError: when its device is in use.
        """
        if self.mapping(name):
            self._run(as_root.unmap_image, name)

    def flush(self, name: str) -> None:
        """Write out what this host has cached of an image."""
        if self.mapping(name):
            self._run(as_root.flush_image, name)

    def _run(self, verb: Any, *args: Any,
             timeout_s: float = channel.TIMEOUT_S) -> None:
        channel.run(verb, self._pool.settings.conf, self._pool.name, *args,
                    timeout_s=timeout_s)

# SPDX-License-Identifier: Apache-2.0
"""Stores on which several services can work at the same time."""

from typing import Protocol, cast

from mydriver.stores import base


class SharedStore(base.VolumeStore, Protocol):
    """A store whose trait ``shared`` is set.

    Each operation is exact among all services that use the store. What a
    service leaves that was killed is finished or undone by its next run, or
    by another service once it is known to be over.
    """

    def serve(self, service: str, *, is_shared: bool) -> None:
        """Say for whom the store works, before it is used.

        :param service: ``HOST@BACKEND``; only one run of it exists at a time.
        :param is_shared: others may use the store at the same time.
        """


def of(store: base.VolumeStore) -> SharedStore | None:
    """Return a store with its method, None when it belongs to one service."""
    return cast(SharedStore, store) if store.traits.shared else None

# SPDX-License-Identifier: Apache-2.0
"""A gateway that says that it is alive, and nothing else."""

import dataclasses
import threading
from typing import Self

from mydriver.target.gateways import gateway, members

_BEAT_S = 0.02


class Beating:
    """A gateway as others see it, for a ``with`` block.

    :param registry: of the backend's gateways.
    :param name: of the gateway.
    :param serves: the targets that it serves.
    :param drains: whether it lets go of them when it is asked to.
    """

    def __init__(self, registry: gateway.Registry, name: str,
                 *serves: str, drains: bool = True) -> None:
        self._registry = registry
        self._said = members.Member(name, 'run', 0, serves=serves)
        self._drains = drains
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._beat)

    def __enter__(self) -> Self:
        """Start; it has said something when this returns."""
        self._registry.say(self._said)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Die: what it said last stays."""
        self._end.set()
        self._thread.join()

    def _beat(self) -> None:
        while not self._end.wait(_BEAT_S):
            is_draining = any(m.is_draining for m in self._registry.all()
                              if m.name == self._said.name)
            self._said = dataclasses.replace(
                self._said, beat=self._said.beat + 1,
                serves=() if is_draining and self._drains
                else self._said.serves)
            self._registry.say(self._said)

# SPDX-License-Identifier: Apache-2.0
"""Notices within one process."""

from collections.abc import Iterator
import contextlib

from mydriver.ceph import bells


class FakeNotices:
    """As :class:`mydriver.ceph.notify.RadosNotices`."""

    def __init__(self) -> None:
        self.rung: list[str] = []
        self._bells: list[tuple[str, bells.Bell]] = []

    def ring(self, name: str) -> None:
        """See :meth:`.notify.Notices.ring`."""
        self.rung.append(name)
        for its_name, bell in tuple(self._bells):
            if its_name == name:
                bell.ring()

    @contextlib.contextmanager
    def listen(self, name: str) -> Iterator[bells.Bell]:
        """See :meth:`.notify.Notices.listen`."""
        bell = bells.Bell()
        self._bells.append((name, bell))
        try:
            yield bell
        finally:
            self._bells.remove((name, bell))
            bell.close()

    def close(self) -> None:
        """See :meth:`.notify.Notices.close`."""

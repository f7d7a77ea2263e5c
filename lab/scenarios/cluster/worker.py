# SPDX-License-Identifier: Apache-2.0
"""A worker: makes a family of volumes, uses them, and deletes them."""

from collections.abc import Iterator
import contextlib
import random
import threading

from openstack import connection

from lab.cloud import api
from lab.scenarios.cluster import ledger, volumes

#: How often a volume is copied while it is attached.
_WHILE_ATTACHED = 0.5


class _EndError(Exception):
    """It is time to stop."""


class Worker(volumes.Volumes):
    """Works until told to stop.

    What an operation has left that failed stays for the end of the run.

    :param number: of the worker.
    :param connected: an SDK connection of its own.
    :param kept: gets each operation.
    :param chance: source of random numbers.
    :param end: set to stop.
    """

    def __init__(self, number: int, connected: connection.Connection,
                 kept: ledger.Ledger, chance: random.Random,
                 end: threading.Event) -> None:
        super().__init__(connected, kept)
        self._host = f'worker{number}'
        self._chance = chance
        self._end = end
        #: What went wrong with the worker itself.
        self.error: BaseException | None = None
        self._thread = threading.Thread(target=self._run)

    def start(self) -> None:
        """Start to work."""
        self._thread.start()

    def join(self) -> None:
        """Wait until the family at hand is done."""
        self._thread.join()

    @contextlib.contextmanager
    def operation(self, kind: str) -> Iterator[None]:
        """Begin an operation, unless it is time to stop."""
        if self._end.is_set():
            raise _EndError
        with super().operation(kind):
            yield

    def _run(self) -> None:
        try:
            while not self._end.is_set():
                try:
                    self._family()
                except volumes.Failed:
                    continue  # it is on record
                except _EndError:
                    return
        except BaseException as e:
            self.error = e

    def _family(self) -> None:
        parent = self.create('create')
        snapshot = self.snapshot(parent)
        made = [parent, self.create('create from snapshot',
                                    snapshot_id=snapshot)]
        made.append(self.create('clone', source_volid=parent))
        steps = [self._attached, self._grown, self._retyped]
        self._chance.shuffle(steps)
        for step in steps:
            step(self._chance.choice(made))
        self.delete('snapshot', snapshot)
        self._chance.shuffle(made)
        for volume_id in made:
            self.delete('volume', volume_id)

    def _attached(self, volume_id: str) -> None:
        attachment = self.attach(volume_id, self._host)
        if self._chance.random() < _WHILE_ATTACHED:
            self.delete('snapshot', self.snapshot(volume_id))
        self.detach(volume_id, attachment)

    def _grown(self, volume_id: str) -> None:
        self.extend(volume_id, 2)

    def _retyped(self, volume_id: str) -> None:
        self.retype(volume_id, volumes.TYPE)
        self.retype(volume_id, api.VOLUME_TYPE)

# SPDX-License-Identifier: Apache-2.0
"""Kill a service at random times, and start it again."""

import random
import threading

from lab.cloud import api
from lab.scenarios.cluster import ledger

#: Seconds between two kills, and for which a service is down.
_PAUSE_S = (10.0, 40.0)
_DOWN_S = (0.0, 20.0)


class Killer:
    """Kills one service after the other, until told to stop.

    :param cloud: the cloud that is up.
    :param kept: notes the kills.
    :param chance: source of random numbers.
    """

    def __init__(self, cloud: api.Cloud, kept: ledger.Ledger,
                 chance: random.Random) -> None:
        self._cloud = cloud
        self._ledger = kept
        self._chance = chance
        self._end = threading.Event()
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._run)

    def start(self) -> None:
        """Start to kill."""
        self._thread.start()

    def stop(self) -> None:
        """Stop, with all services up.

        :raises Exception: what has kept a service from starting.
        """
        self._end.set()
        self._thread.join()
        if self._error is not None:
            raise self._error

    def _run(self) -> None:
        try:
            while not self._end.wait(self._chance.uniform(*_PAUSE_S)):
                self._kill(self._chance.choice(
                    self._cloud.options.volume_nodes))
        except BaseException as e:
            self._error = e

    def _kill(self, node: str) -> None:
        with self._ledger.killing(node):
            self._cloud.node_service(node, 'kill')
        self._end.wait(self._chance.uniform(*_DOWN_S))
        self._cloud.node_service(node, 'start')
        self._cloud.wait_service(node)

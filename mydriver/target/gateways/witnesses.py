# SPDX-License-Identifier: Apache-2.0
"""Tells whether this gateway still reaches the network of the initiators.

A gateway that reaches Ceph keeps its lease, whether initiators reach it or
not. So the operator names addresses in the initiators' network that should
always be there. A gateway that reaches none of them hands its targets over to
one that does; if no gateway reaches any, the addresses are to blame, and
nothing moves.
"""

from collections.abc import Callable, Sequence
import contextlib
import errno
import socket
import threading
import time

from oslo_log import log as logging

from mydriver import model

LOG = logging.getLogger(__name__)

#: Pause between two probes, and how long one may take, seconds.
PROBE_S = 1.0
#: For how long a witness counts as reached after it has answered, seconds.
REACHED_S = 3.0


def answers(witness: model.Portal) -> bool:
    """Tell whether a host answers, by a connection or by refusing one."""
    family = socket.AF_INET6 if ':' in witness.address else socket.AF_INET
    with (contextlib.suppress(OSError),
          socket.socket(family, socket.SOCK_STREAM) as s):
        s.settimeout(PROBE_S)
        return s.connect_ex((witness.address, witness.port)) in (
            0, errno.ECONNREFUSED)
    return False


class Witnesses:
    """The witnesses of a backend, as this gateway reaches them.

    :param witnesses: address and any port of each; without any, they count as
        reached.
    :param ask: see :func:`answers`.
    """

    def __init__(self, witnesses: Sequence[model.Portal],
                 ask: Callable[[model.Portal], bool] = answers) -> None:
        self._witnesses = tuple(witnesses)
        self._ask = ask
        self._reached_s = time.monotonic()
        self._is_reached = True

    def start(self, end: threading.Event) -> None:
        """Probe them in a thread until an event is set."""
        if self._witnesses:
            threading.Thread(target=self._probe_until, args=(end,),
                             name='witnesses', daemon=True).start()

    def are_reached(self) -> bool:
        """Tell whether any witness has answered lately."""
        return not self._witnesses or (
            time.monotonic() - self._reached_s < REACHED_S)

    def probe(self) -> None:
        """Ask them, until one answers."""
        if any(self._ask(one) for one in self._witnesses):
            self._reached_s = time.monotonic()
        if self.are_reached() != self._is_reached:
            self._is_reached = not self._is_reached
            if self._is_reached:
                LOG.info('This gateway reaches its witnesses again')
            else:
                LOG.error('This gateway reaches none of its witnesses %s: it '
                          'seems to be cut off from the initiators',
                          ', '.join(w.address for w in self._witnesses))

    def _probe_until(self, end: threading.Event) -> None:
        while not end.is_set():
            self.probe()
            end.wait(PROBE_S)

# SPDX-License-Identifier: Apache-2.0
"""Carries out the steps of a gateway for one target, on this host."""

from collections.abc import Callable, Collection, Iterator, Sequence
import contextlib
import threading
from typing import Protocol

from oslo_log import log as logging

from mydriver import exception
from mydriver.target import floating
from mydriver.target.gateways import (
    applier,
    connections,
    images,
    lease,
    record,
)
from mydriver.target.gateways.steps import (
    DONE,
    Kind,
    Outcome,
    Result,
    State,
    Step,
)

LOG = logging.getLogger(__name__)

#: How long a step may wait for the work of the thread that applies changes.
_TURN_S = 2.0

#: How often initiators are prompted after a takeover, since segments get lost.
_PROMPTS = 4


class Fence(Protocol):
    """The blocklist of the cluster."""

    def fence(self, clients: Collection[record.Client]) -> None:
        """Fence clients for good; each OSD knows of it when this returns.

        :raises MyDriverError: when that is not certain.
        """


class Hands:
    """Carries out steps; see :class:`.steps.Kind`.

    :param ownership: the lease and the record.
    :param fence: the blocklist.
    :param its_images: the kernel's RBD client.
    :param its_applier: exports and mappings.
    :param addresses: the floating addresses of the target.
    :param network: holds addresses on this host.
    :param timing: of the lease.
    :param its_connections: of initiators, which are broken by a takeover.
    """

    def __init__(self, ownership: lease.Ownership, fence: Fence,
                 its_images: images.Images, its_applier: applier.Applier,
                 addresses: Sequence[str], network: floating.Addresses,
                 timing: lease.Timing,
                 its_connections: connections.Connections) -> None:
        self._ownership = ownership
        self._fence = fence
        self._images = its_images
        self._applier = its_applier
        self._addresses = tuple(addresses)
        self._network = network
        self._timing = timing
        self._connections = its_connections
        self._prompts = 0
        self._turn = threading.Lock()
        self._how: dict[Kind, Callable[[State, Step], Outcome]] = {
            Kind.ACQUIRE: self._acquire,
            Kind.READ: self._read,
            Kind.CONNECT: self._connect,
            Kind.RECORD: self._write,
            Kind.FENCE: self._add_fence,
            Kind.MAP: self._map,
            Kind.FENCE_AGAIN: self._add_fence,
            Kind.APPLY: self._apply,
            Kind.TAKE_ADDRESS: self._take,
            Kind.ANNOUNCE: self._announce,
            Kind.EXTEND_ADDRESS: self._extend,
            Kind.DROP_ADDRESS: self._drop,
            Kind.DISABLE_PORTALS: self._close,
            Kind.WITHDRAW: self._withdraw,
            Kind.UNMAP: self._unmap,
            Kind.DISCONNECT: self._disconnect,
            Kind.RELEASE: self._write,
            Kind.UNLOCK: self._unlock,
        }

    def perform(self, state: State, step: Step) -> Outcome:
        """Carry out a step.

        :param state: the one that the step belongs to.
        """
        how = self._how.get(step.kind)
        if how is None:
            return DONE
        try:
            return how(state, step)
        except exception.MyDriverError as e:
            return Outcome(Result.FAILED, reason=str(e).rstrip('.'))

    def apply_changes(self, state: State) -> bool:
        """Apply what has changed in the journal.

        :param state: one in which the target is served.
        :returns: whether there was anything.
        :raises OwnerChanged: when there is a new owner.
        """
        with self._turn:
            return self._applier.apply_changes(state.gateway, state.epoch)

    # -- at Ceph

    def _acquire(self, state: State, step: Step) -> Outcome:
        return _granted(self._ownership.acquire(
            step.cookie, self._timing.duration_s))

    def _read(self, state: State, step: Step) -> Outcome:
        return Outcome(Result.DONE, found=self._ownership.read())

    def _write(self, state: State, step: Step) -> Outcome:
        if step.its is None:
            raise ValueError('the step has no record')
        return _granted(self._ownership.write(step.cookie, *step.its))

    def _unlock(self, state: State, step: Step) -> Outcome:
        self._ownership.release(step.cookie)
        return DONE

    def _add_fence(self, state: State, step: Step) -> Outcome:
        if step.clients:
            self._fence.fence(step.clients)
        return DONE

    # -- images

    def _connect(self, state: State, step: Step) -> Outcome:
        return Outcome(Result.DONE,
                       clients=frozenset({self._images.connect()}))

    def _map(self, state: State, step: Step) -> Outcome:
        with self._in_turn():
            self._applier.map_all()
        return Outcome(Result.DONE, clients=self._applier.clients())

    def _unmap(self, state: State, step: Step) -> Outcome:
        with self._in_turn():
            return Outcome(Result.DONE,
                           was_forced=self._applier.unmap_all())

    def _disconnect(self, state: State, step: Step) -> Outcome:
        self._images.disconnect()
        return DONE

    # -- the target

    def _apply(self, state: State, step: Step) -> Outcome:
        with self._in_turn():
            self._applier.apply_all(state.gateway, state.epoch)
        return DONE

    def _close(self, state: State, step: Step) -> Outcome:
        return DONE if self._applier.disable() else Outcome(
            Result.FAILED, reason='its devices have not answered all commands '
            'yet')

    def _withdraw(self, state: State, step: Step) -> Outcome:
        with self._in_turn():
            self._applier.withdraw()
        return DONE

    # -- addresses

    def _take(self, state: State, step: Step) -> Outcome:
        self._prompts = 0
        return self._hold(state, step)

    def _hold(self, state: State, step: Step) -> Outcome:
        if step.until_s is None:
            raise ValueError('the step has no time')
        for address in self._addresses:
            self._network.hold(address, step.until_s)
        return Outcome(Result.DONE, until_s=step.until_s)

    def _announce(self, state: State, step: Step) -> Outcome:
        for address in self._addresses:
            self._network.announce(address)
        if self._prompts < _PROMPTS:
            self._prompts += 1
            for address in self._addresses:
                portal, peers = self._connections.lost(address)
                if peers:
                    self._network.prompt(portal, peers)
        return DONE

    def _extend(self, state: State, step: Step) -> Outcome:
        held = self._hold(state, step)
        # Some neighbour may not have heard it, or may have heard a host that
        # had stood still and answered for the address once more.
        self._announce(state, step)
        return held

    def _drop(self, state: State, step: Step) -> Outcome:
        for address in self._addresses:
            self._network.drop(address)
        return DONE

    @contextlib.contextmanager
    def _in_turn(self) -> Iterator[None]:
        """Keep out the thread that applies changes.

        :raises WaitTimeout: when it does not finish.
        """
        if not self._turn.acquire(timeout=_TURN_S):
            raise exception.WaitTimeout(
                'the change that is being applied', _TURN_S)
        try:
            yield
        finally:
            self._turn.release()


def _granted(was_granted: bool) -> Outcome:
    return DONE if was_granted else Outcome(
        Result.REFUSED, reason='the lease is not, or no longer, that of this '
        'gateway')

# SPDX-License-Identifier: Apache-2.0
"""A gateway: one agent for each target, and its place among the others."""

from collections.abc import Callable, Collection, Sequence
import dataclasses
import threading
import time

from oslo_log import log as logging

from mydriver import exception, model
from mydriver.ceph import omap
from mydriver.target.gateways import (
    agent,
    connections,
    members,
    record,
    witnesses,
)

LOG = logging.getLogger(__name__)

#: The object with what gateways say about themselves, and its keys.
OBJECT = 'gateways'
_MEMBER, _DRAIN = 'gateway/', 'drain/'

#: Pauses, seconds: between two beats, two looks at the blocklist, and two at
#: the targets of the journal.
BEAT_S = 0.5
BLOCKLIST_S = 5.0
TARGETS_S = 5.0

#: A target that nobody serves for so long is taken by whoever can, seconds.
ORPHANED_S = 10.0

#: A target that a gateway was handed, and did not come to serve, is not handed
#: to it again for so long, seconds: it may be alive, but not able to.
HAND_AGAIN_S = 600.0


class Registry:
    """What the gateways of a backend say about themselves; thread-safe.

    :param objects: of the backend's namespace.
    """

    def __init__(self, objects: omap.Objects) -> None:
        self._objects = objects
        self._odd: set[str] = set()

    def all(self) -> list[members.Member]:
        """Return what all gateways said last, dead ones too, by name.

        :raises CephError: when Ceph does not answer.
        """
        found = self._objects.read(
            OBJECT, ranges=[omap.Range(_MEMBER), omap.Range(_DRAIN)])
        values = found.values if found else {}
        draining = {key.removeprefix(_DRAIN) for key in values
                    if key.startswith(_DRAIN)}
        result = []
        for key in sorted(k for k in values if k.startswith(_MEMBER)):
            try:
                said = members.Member.parse(values[key])
            except ValueError as e:
                if values[key] not in self._odd:  # it is read all the time
                    LOG.error('What gateway %s says cannot be read: %s',
                              key.removeprefix(_MEMBER), e)
                self._odd.add(values[key])
                continue
            result.append(dataclasses.replace(
                said, is_draining=said.is_draining or said.name in draining))
        return result

    def say(self, member: members.Member) -> None:
        """Say something about a gateway.

        :raises CephError: when Ceph does not answer.
        """
        self._objects.write(OBJECT, {_MEMBER + member.name: member.text()})

    def drain(self, name: str, is_draining: bool) -> None:
        """Ask a gateway to serve nothing, or to serve again.

        :raises CephError: when Ceph does not answer.
        """
        if is_draining:
            self._objects.write(OBJECT, {_DRAIN + name: 'yes'})
        else:
            self._objects.write(OBJECT, {}, [_DRAIN + name])

    def forget(self, name: str) -> None:
        """Remove a gateway that is gone for good.

        :raises CephError: when Ceph does not answer.
        """
        self._objects.write(OBJECT, {}, [_MEMBER + name, _DRAIN + name])


class Gateway:
    """A gateway of one backend.

    :param name: its name, that of the host.
    :param run: unique name of this run of the process.
    :param registry: of the backend's gateways.
    :param agents: one for each target that the journal has.
    :param later: takes these targets; returns agents for those that the
        journal has got since, which cinder-volume may be adding just now.
    :param blocklist: returns the clients that are fenced.
    :param its_connections: of initiators.
    :param its_witnesses: tell whether initiators reach this host.
    """

    def __init__(self, name: str, run: str, registry: Registry,
                 agents: Sequence[agent.Agent],
                 later: Callable[[Collection[model.Iqn]],
                                 Sequence[agent.Agent]],
                 blocklist: Callable[[], Collection[record.Client]],
                 its_connections: connections.Connections,
                 its_witnesses: witnesses.Witnesses) -> None:
        self._name = name
        self._run = run
        self._registry = registry
        self._agents = {one.target: one for one in agents}
        self._later = later
        self._blocklist = blocklist
        self._connections = its_connections
        self._witnesses = its_witnesses
        self._watch = members.Watch()
        self._beat = 0
        self._is_leaving = False
        self._unserved_since: dict[model.Iqn, float] = {}
        self._handed: dict[model.Iqn, tuple[str, float]] = {}
        self._able_since: dict[str, float] = {}
        self._checked_s = self._found_s = time.monotonic()

    def run(self, end: threading.Event) -> None:
        """Serve until the event is set, then hand everything over.

        :param end: when it is time to leave.
        """
        self._witnesses.start(end)
        for one in self._agents.values():
            one.start()
        try:
            while not end.is_set():
                self.beat()
                end.wait(BEAT_S)
        finally:
            self.leave()

    def beat(self) -> None:
        """Say that this gateway is alive, and decide what it shall serve."""
        self._beat += 1
        try:
            if self._beat == 1:  # what an earlier run has said is replaced
                self._connections.remember(
                    m.peers for m in self._registry.all())
            self._add_targets()
            self._registry.say(self._member())
            found = self._registry.all()
        except exception.MyDriverError as e:
            # The leases decide what happens if this goes on.
            LOG.warning('Gateway %s cannot reach the others: %s', self._name,
                        e)
            return
        self._connections.remember(
            m.peers for m in found if m.name != self._name)
        for target, is_wanted in self.wanted(found, time.monotonic()).items():
            self._agents[target].want(is_wanted)
        self._check_blocklist()

    def leave(self, timeout_s: float = 30.0) -> None:
        """Hand all targets over, and say so.

        :param timeout_s: how long that may take.
        """
        self._is_leaving = True
        stopping = [threading.Thread(target=one.stop, args=(timeout_s,))
                    for one in self._agents.values()]
        for thread in stopping:
            thread.start()
        for thread in stopping:
            thread.join()
        try:
            self._registry.say(self._member())
        except exception.MyDriverError as e:
            LOG.warning('Gateway %s cannot say that it has left: %s',
                        self._name, e)

    def wanted(self, found: Collection[members.Member], now_s: float
               ) -> dict[model.Iqn, bool]:
        """Return which targets this gateway shall serve.

        :param found: what all gateways say about themselves.
        :param now_s: the time, a steady clock.
        """
        alive = self._watch.see(found, now_s)
        able = {m.name for m in found
                if m.name in alive and not m.is_draining}
        reached = able - {m.name for m in found if m.is_cut_off}
        able = reached or able  # if none is, it is not the gateways' fault
        self._able_since = {name: self._able_since.get(name, now_s)
                            for name in able}
        for one in found:
            for target in [t for t, (name, _) in self._handed.items()
                           if name == one.name and str(t) in one.serves]:
                del self._handed[target]
        shall = members.assign(list(self._agents), able)
        served = {s for m in found if m.name in alive for s in m.serves}
        return {target: self._wants(target, one, shall.get(target),
                                    str(target) in served, now_s,
                                    self._name in able)
                for target, one in self._agents.items()}

    def _wants(self, target: model.Iqn, its_agent: agent.Agent,
               shall: str | None, is_served: bool, now_s: float,
               is_able: bool) -> bool:
        unserved_s = 0.0
        if is_served:
            self._unserved_since.pop(target, None)
        else:
            unserved_s = now_s - self._unserved_since.setdefault(
                target, now_s)
        if not is_able:
            return False
        if shall == self._name:
            return True
        if its_agent.seen().is_serving:
            return not self._hand_over(target, shall, now_s)
        return unserved_s >= ORPHANED_S

    def _hand_over(self, target: model.Iqn, shall: str | None, now_s: float
                   ) -> bool:
        """Tell whether to hand a target to the gateway that shall have it."""
        if shall is None or (
                now_s - self._able_since[shall] < members.SETTLED_S):
            return False  # it has to be one that will be there
        name, since_s = self._handed.get(target, ('', now_s))
        if name == shall and BEAT_S * 4 < now_s - since_s < HAND_AGAIN_S:
            return False
        if name != shall or now_s - since_s >= HAND_AGAIN_S:
            self._handed[target] = shall, now_s
        return True

    def _member(self) -> members.Member:
        return members.Member(
            self._name, self._run, self._beat, self._is_leaving,
            tuple(sorted(str(t) for t, one in self._agents.items()
                         if one.seen().is_serving)),
            self._connections.here(), not self._witnesses.are_reached())

    def _add_targets(self) -> None:
        """Start agents for targets that are new."""
        if self._agents and time.monotonic() - self._found_s < TARGETS_S:
            return
        self._found_s = time.monotonic()
        for one in self._later(self._agents):
            LOG.info('Target %s is new', one.target)
            one.start()
            self._agents = {**self._agents, one.target: one}

    def _check_blocklist(self) -> None:
        if time.monotonic() - self._checked_s < BLOCKLIST_S:
            return
        self._checked_s = time.monotonic()
        try:
            fenced = self._blocklist()
        except exception.MyDriverError as e:
            LOG.warning('The blocklist cannot be read: %s', e)
            return
        for one in self._agents.values():
            if one.client() in fenced:
                one.fenced()

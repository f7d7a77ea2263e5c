# SPDX-License-Identifier: Apache-2.0
"""Check a backend that gateways serve, from what is in Ceph."""

from collections.abc import Iterator, Sequence
import dataclasses

from mydriver import model
from mydriver.cmd import backends, gateways
from mydriver.cmd.findings import Finding
from mydriver.target.gateways import members
from mydriver.target.journal import shared

_LIST = 'See mydriver gateway list.'


@dataclasses.dataclass(frozen=True, slots=True)
class Gateways:
    """The gateways of a backend, by state.

    :param up: they are alive and not draining.
    :param draining: they are alive, and shall serve nothing.
    :param gone: they are known, and do not run.
    :param served: the targets that those that are alive serve.
    """

    up: tuple[str, ...]
    draining: tuple[str, ...]
    gone: tuple[str, ...]
    served: frozenset[str]


@dataclasses.dataclass(frozen=True, slots=True)
class State:
    """What the journal in Ceph says.

    :param targets: all of them.
    :param unserved: those that no gateway serves.
    :param late: those with changes that are still to be applied.
    :param exports: how many there are.
    :param faults: for each export that cannot be served as it should, the
        volume and the reason.
    :param mappings: how many there are.
    """

    targets: tuple[model.Iqn, ...]
    unserved: tuple[str, ...]
    late: tuple[str, ...]
    exports: int
    faults: tuple[str, ...]
    mappings: int


def look(backend: backends.Backend) -> Gateways:
    """Return the gateways of a backend; it takes a second or so.

    :raises MyDriverError: when Ceph cannot be read.
    """
    with gateways.registry(backend) as registry:
        found = gateways.look(registry)
    alive = [one for one, is_alive in found if is_alive]
    return Gateways(
        tuple(one.name for one in alive if not one.is_draining),
        tuple(one.name for one in alive if one.is_draining),
        tuple(one.name for one, is_alive in found if not is_alive),
        _served(alive))


def read(backend: backends.Backend, served: frozenset[str]) -> State:
    """Return what the journal of a backend says.

    :param served: the targets that gateways serve.
    :raises MyDriverError: when Ceph or the journal cannot be read.
    """
    with gateways.journal(backend) as journal:
        targets, exports = tuple(journal.targets()), journal.exports()
        return State(
            targets, tuple(str(t) for t in targets if str(t) not in served),
            _late(journal, targets), len(exports),
            tuple(f'{e.volume_id}: {why}' for e in exports
                  if (why := journal.fault(e.target, e.volume_id))),
            len(journal.mappings()))


def check(backend: backends.Backend) -> Iterator[Finding]:
    """Check the gateways of a backend, and what they have applied.

    :raises MyDriverError: when Ceph or the journal cannot be read.
    """
    found = look(backend)
    yield _gateways(found)
    state = read(backend, found.served)
    yield _targets(state)
    yield _exports(state)
    yield Finding('mappings', True, f'{state.mappings} in the journal')


def _served(alive: Sequence[members.Member]) -> frozenset[str]:
    return frozenset(iqn for one in alive for iqn in one.serves)


def _late(journal: shared.SharedJournal, targets: Sequence[model.Iqn]
          ) -> tuple[str, ...]:
    return tuple(str(t) for t in targets
                 if journal.applied(t).generation < journal.generation(t))


def _gateways(found: Gateways) -> Finding:
    alive = sorted((*found.up, *found.draining))
    if not alive:
        return Finding('gateways', False, 'none is running. Start mydriver '
                       'gateway on the hosts that have the network of '
                       'mydriver_gateway_addresses.')
    concerns = [f'{what}: {", ".join(names)}' for what, names in (
        ('draining', found.draining), ('not running', found.gone)) if names]
    if len(found.up) < 2:
        concerns.append('no other one could take over')
    return Finding('gateways', True, '; '.join(
        [f'{", ".join(alive)} running', *concerns]), warning=bool(concerns))


def _targets(state: State) -> Finding:
    if state.unserved:
        return Finding('targets', False, f'{len(state.unserved)} of '
                       f'{len(state.targets)} served by no gateway: '
                       f'{", ".join(state.unserved)}. {_LIST}')
    return Finding('targets', True, f'{len(state.targets)}, all served')


def _exports(state: State) -> Finding:
    if state.faults:
        return Finding('exports', False, f'{len(state.faults)} of '
                       f'{state.exports} cannot be served as they should: '
                       f'{state.faults[0]}')
    if state.late:
        return Finding('exports', True, f'{state.exports}; changes of '
                       f'{", ".join(state.late)} are still to be applied',
                       warning=True)
    return Finding('exports', True, f'{state.exports}, all as they should be')

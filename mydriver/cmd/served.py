# SPDX-License-Identifier: Apache-2.0
"""Check a backend that gateways serve, from what is in Ceph."""

from collections.abc import Iterator, Sequence

from mydriver import model
from mydriver.cmd import backends, gateways
from mydriver.cmd.findings import Finding
from mydriver.target.gateways import members
from mydriver.target.journal import shared

_LIST = 'See mydriver gateway list.'


def check(backend: backends.Backend) -> Iterator[Finding]:
    """Check the gateways of a backend, and what they have applied.

    :raises MyDriverError: when Ceph or the journal cannot be read.
    """
    with gateways.registry(backend) as registry:
        found = gateways.look(registry)
    alive = [one for one, is_alive in found if is_alive]
    yield _gateways(alive, [one.name for one, is_alive in found
                            if not is_alive])
    with gateways.journal(backend) as journal:
        targets = journal.targets()
        yield _targets(targets, alive)
        yield _exports(journal, targets)
        yield Finding('mappings', True, f'{len(journal.mappings())} in the '
                      'journal')


def _gateways(alive: Sequence[members.Member], gone: Sequence[str]
              ) -> Finding:
    if not alive:
        return Finding('gateways', False, 'none is running. Start mydriver '
                       'gateway on the hosts that have the network of '
                       'mydriver_gateway_addresses.')
    draining = [one.name for one in alive if one.is_draining]
    concerns = [f'{what}: {", ".join(names)}' for what, names in (
        ('draining', draining), ('not running', gone)) if names]
    if len(alive) - len(draining) < 2:
        concerns.append('no other one could take over')
    return Finding('gateways', True, '; '.join(
        [f'{", ".join(one.name for one in alive)} running', *concerns]),
        warning=bool(concerns))


def _targets(targets: Sequence[model.Iqn], alive: Sequence[members.Member]
             ) -> Finding:
    served = {iqn for one in alive for iqn in one.serves}
    missing = [str(t) for t in targets if str(t) not in served]
    if missing:
        return Finding('targets', False, f'{len(missing)} of {len(targets)} '
                       f'served by no gateway: {", ".join(missing)}. {_LIST}')
    return Finding('targets', True, f'{len(targets)}, all served')


def _exports(journal: shared.SharedJournal, targets: Sequence[model.Iqn]
             ) -> Finding:
    exports = journal.exports()
    faults = [f'{e.volume_id}: {why}' for e in exports
              if (why := journal.fault(e.target, e.volume_id))]
    if faults:
        return Finding('exports', False, f'{len(faults)} of {len(exports)} '
                       f'cannot be served as they should: {faults[0]}')
    late = [str(t) for t in targets
            if journal.applied(t).generation < journal.generation(t)]
    if late:
        return Finding('exports', True, f'{len(exports)}; changes of '
                       f'{", ".join(late)} are still to be applied',
                       warning=True)
    return Finding('exports', True, f'{len(exports)}, all as they should be')

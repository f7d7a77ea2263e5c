# SPDX-License-Identifier: Apache-2.0
"""The targets of a backend with gateways, as cinder-volume sees them.

cinder-volume changes no kernel. It records in the journal what shall be, and
waits until the gateway that owns the target has acknowledged it. While a
target moves to another gateway, the wait takes as long as the move.
"""

from collections.abc import Callable, Sequence

from mydriver import exception, model
from mydriver.target import configfs, kernel
from mydriver.target.journal import shared

#: How long an owner may take, seconds: longer than a takeover.
TIMEOUT_S = 30.0


class RemoteTarget:
    """The targets; see :class:`..kernel.KernelTarget`.

    :param journal: what shall be, and what the owners have acknowledged.
    :param portals_of: returns the portals of a target.
    :param timeout_s: how long an owner may take.
    """

    def __init__(self, journal: shared.SharedJournal,
                 portals_of: Callable[[model.Iqn], Sequence[model.Portal]],
                 timeout_s: float = TIMEOUT_S) -> None:
        self._journal = journal
        self._portals_of = portals_of
        self._timeout_s = timeout_s
        #: What was on record when an owner had not answered in time.
        self._silent: dict[model.Iqn, shared.Applied] = {}

    # -- health

    def check(self) -> list[str]:
        """See :meth:`..kernel.KernelTarget.check`."""
        return [f'No gateway serves target {target} yet. Start mydriver '
                'gateway on the hosts that have its network.'
                for target in self._journal.targets()
                if not self._is_served(target)]

    def listening(self, target: model.Iqn) -> frozenset[str]:
        """See :meth:`..kernel.KernelTarget.listening`.

        A target that some gateway has served listens, as far as is known
        here: an owner that is gone is replaced.
        """
        if not self._is_served(target):
            return frozenset()
        return frozenset(map(str, self._portals_of(target)))

    def _is_served(self, target: model.Iqn) -> bool:
        return (target not in self._silent
                and self._journal.applied(target).epoch > 0)

    # -- targets

    def create(self, targets: Sequence[model.Iqn]) -> None:
        """See :meth:`..kernel.KernelTarget.create`: gateways do that."""

    def ensure_pool(self, targets: Sequence[model.Iqn],
                    more: kernel.More | None = None) -> None:
        """See :meth:`..kernel.KernelTarget.ensure_pool`: gateways do that."""

    def drop_target(self, target: model.Iqn) -> bool:
        """See :meth:`..kernel.KernelTarget.drop_target`: it is kept."""
        return False

    def disable(self, target: model.Iqn) -> bool:
        """See :meth:`..kernel.KernelTarget.disable`: only owners do that."""
        return True

    def names(self) -> list[str]:
        """See :meth:`..kernel.KernelTarget.names`."""
        return []

    def observe(self, target: model.Iqn) -> configfs.SeenTarget | None:
        """See :meth:`..kernel.KernelTarget.observe`: nothing is seen here."""
        return None

    # -- exports and mappings

    def ensure_export(self, export: model.Export) -> None:
        """See :meth:`..kernel.KernelTarget.ensure_export`."""
        self._await(export.target, export.volume_id,
                    f'export volume {export.volume_id}',
                    self._journal.generation(export.target))

    def ensure_mapping(self, mapped: model.MappedExport,
                       secrets: model.ChapCredentials | None = None) -> None:
        """See :meth:`..kernel.KernelTarget.ensure_mapping`.

        The owner derives the secrets by itself.
        """
        mapping, target = mapped.mapping, mapped.export.target
        self._await(target, mapping.volume_id,
                    f'map volume {mapping.volume_id} to {mapping.initiator}',
                    self._journal.generation(target))

    def drop_mapping(self, mapped: model.MappedExport) -> None:
        """See :meth:`..kernel.KernelTarget.drop_mapping`."""
        volume_id, initiator = (mapped.mapping.volume_id,
                                mapped.mapping.initiator)
        self._await(mapped.export.target, volume_id,
                    f'unmap volume {volume_id} from {initiator}',
                    self._journal.doom_mapping(volume_id, initiator,
                                               version=mapped.version))

    def drop_export(self, export: model.Export) -> None:
        """See :meth:`..kernel.KernelTarget.drop_export`."""
        what = f'withdraw volume {export.volume_id}'
        try:
            generation = self._journal.doom_export(export.volume_id)
        except exception.TargetInUse as e:
            raise exception.TargetError(what, str(e).rstrip('.')) from e
        self._await(export.target, export.volume_id, what, generation)

    def resize(self, export: model.Export) -> None:
        """See :meth:`..kernel.KernelTarget.resize`."""
        self._await(export.target, export.volume_id,
                    f'resize volume {export.volume_id}',
                    self._journal.generation(export.target))

    def is_mutual(self, target: model.Iqn, initiator: model.Iqn) -> bool:
        """See :meth:`..kernel.KernelTarget.is_mutual`."""
        for node in self._journal.nodes():
            if (node.target, node.initiator) == (target, initiator):
                return node.kind.mutual
        raise exception.TargetError(
            f'read the NodeACL of {initiator} at {target}', 'there is none')

    # -- inside

    def _await(self, target: model.Iqn, volume_id: str, what: str,
               generation: int) -> None:
        """Wait until the owner has acknowledged a change.

        An owner that was silent once is not waited for again before something
        has happened: at start-up, each of many volumes would take the whole
        time.

        :param what: of the owner, for errors.
        :param generation: of the change; 0 when there is none.
        :raises TargetError: when the owner cannot do it, or is silent.
        """
        silent = self._silent.get(target)
        timeout_s = (0.0 if silent and silent == self._journal.applied(target)
                     else self._timeout_s)
        try:
            self._journal.wait_applied(target, generation, timeout_s)
        except exception.WaitTimeout as e:
            self._silent[target] = self._journal.applied(target)
            raise exception.TargetError(
                what, f'{e} See mydriver gateway list') from e
        self._silent.pop(target, None)
        fault = self._journal.fault(target, volume_id) if generation else ''
        if fault:
            raise exception.TargetError(what, fault.rstrip('.'))

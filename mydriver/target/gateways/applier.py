# SPDX-License-Identifier: Apache-2.0
"""Makes the kernel of a target's owner match the journal."""

from collections.abc import Callable, Iterable
from concurrent import futures
import dataclasses

from oslo_log import log as logging

from mydriver import exception, model
from mydriver.target import kernel
from mydriver.target.gateways import images, record
from mydriver.target.journal import shared

LOG = logging.getLogger(__name__)

#: How many images are mapped at a time.
_AT_ONCE = 8

#: Returns the secrets of a mapping, None when there are none.
Secrets = Callable[[model.MappedExport], model.ChapCredentials | None]


class Applier:
    """Applies what shall be of one target to the kernel of this host.

    What it cannot apply is a fault of that volume, which the journal shows to
    whoever waits for it; the other volumes are served.

    :param target: its name.
    :param journal: what shall be.
    :param its_kernel: the kernel target of this host.
    :param its_images: the kernel's RBD client of this host.
    :param secrets: of mappings.
    :param name_prefix: prefix of the names of the backend's backstores.
    """

    def __init__(self, target: model.Iqn, journal: shared.SharedJournal,
                 its_kernel: kernel.KernelTarget, its_images: images.Images,
                 secrets: Secrets, name_prefix: str) -> None:
        self._target = target
        self._journal = journal
        self._kernel = its_kernel
        self._images = its_images
        self._secrets = secrets
        self._name_prefix = name_prefix
        self._faults: dict[str, str] = {}
        #: Those that map_all has just mapped, each for one use.
        self._devices: dict[str, model.BackingDevice] = {}
        self._generation = 0

    # -- taking over

    def map_all(self) -> None:
        """Map the images of all volumes, several at a time.

        Most of the time of each is udev's. One that cannot be mapped is a
        fault of its volume.
        """
        self._faults = {}
        self._devices = {}
        with futures.ThreadPoolExecutor(_AT_ONCE) as threads:
            for done in [threads.submit(self._try, wanted, self._map)
                         for wanted in self._journal.snapshot(
                             self._target).volumes
                         if wanted.export is not None and not wanted.doomed]:
                done.result()

    def apply_all(self, owner: str, epoch: int) -> None:
        """Export and map everything, and acknowledge it.

        :param owner: name of this gateway.
        :param epoch: of its ownership.
        :raises OwnerChanged: when there is a new owner.
        """
        self._journal.begin(self._target, owner, epoch)
        self._kernel.ensure_pool([self._target])
        state = self._journal.snapshot(self._target)
        self._apply_each(state.volumes)
        self._acknowledge(state.generation, owner, epoch)

    # -- serving

    def apply_changes(self, owner: str, epoch: int) -> bool:
        """Apply what has changed, and what failed before; acknowledge it.

        :returns: whether there was anything.
        :raises OwnerChanged: when there is a new owner.
        """
        state = self._journal.changes_since(self._target, self._generation)
        if state.volumes or state.generation != self._generation:
            self._apply_each(state.volumes)
        elif not self._faults:
            return False
        else:
            before = dict(self._faults)
            state = self._journal.snapshot(self._target)
            self._apply_each(w for w in state.volumes if w.volume_id in before)
            if self._faults == before:
                return False
        self._acknowledge(state.generation, owner, epoch)
        return True

    # -- letting go

    def disable(self) -> bool:
        """Accept no logins any more, and end all sessions.

        :returns: False while devices have not answered all commands in hand.
        :raises TargetError: when the kernel refuses.
        """
        return self._kernel.disable(self._target)

    def withdraw(self) -> None:
        """Remove all exports and mappings of the target from the kernel.

        :raises TargetError: when the kernel refuses.
        """
        seen = self._kernel.observe(self._target)
        if seen is None:
            return
        exports, mappings = kernel.unknown(seen, self._name_prefix, (), ())
        for export, mapping in mappings:
            self._kernel.drop_mapping(model.MappedExport(mapping, export))
        for export in exports:
            self._kernel.drop_export(export)

    def unmap_all(self) -> bool:
        """Unmap all images of the target.

        :returns: whether force was needed for any.
        :raises StoreError: when the kernel refuses.
        """
        was_forced = False
        self._devices = {}
        for volume_id in self._images.mapped():
            try:
                self._images.unmap(volume_id)
            except exception.StoreError:
                # Its target is not served here any more, so only commands
                # that never ended keep it open.
                LOG.warning('The image of volume %s is still open on this '
                            'host and is unmapped by force', volume_id)
                self._images.unmap(volume_id, by_force=True)
                was_forced = True
        return was_forced

    def clients(self) -> frozenset[record.Client]:
        """Return the clients that images are mapped with."""
        return frozenset(self._images.mapped().values())

    # -- inside

    def _apply_each(self, volumes: Iterable[shared.Wanted]) -> None:
        for wanted in volumes:
            self._try(wanted, self._apply_one)

    def _acknowledge(self, generation: int, owner: str, epoch: int) -> None:
        self._journal.acknowledge(self._target, owner, epoch, generation,
                                  self._faults)
        self._generation = generation

    def _try(self, wanted: shared.Wanted,
             step: Callable[[shared.Wanted], object]) -> None:
        before = self._faults.pop(wanted.volume_id, None)
        try:
            step(wanted)
        except exception.MyDriverError as e:
            self._faults[wanted.volume_id] = str(e)
            if str(e) != before:  # it is tried again and again
                LOG.error('Volume %s cannot be served as it should: %s',
                          wanted.volume_id, e)
        else:
            if before is not None:
                LOG.info('Volume %s can be served again', wanted.volume_id)

    def _map(self, wanted: shared.Wanted) -> None:
        self._devices[wanted.volume_id] = self._images.map(wanted.volume_id)

    def _apply_one(self, wanted: shared.Wanted) -> None:
        export = wanted.export
        device = self._devices.pop(wanted.volume_id, None)
        if export is None:
            # It was withdrawn before, or was never here.
            return
        for mapped in wanted.mappings:
            if mapped.doomed or wanted.doomed:
                self._kernel.drop_mapping(mapped)
        if wanted.doomed:
            self._kernel.drop_export(export)
            self._images.unmap(export.volume_id)
            return
        export = dataclasses.replace(
            export, device=device or self._images.map(export.volume_id))
        mappings = [dataclasses.replace(m, export=export)
                    for m in wanted.mappings if not m.doomed]
        if not mappings:
            self._kernel.ensure_export(export)
        for mapped in mappings:  # each makes the export, too
            self._kernel.ensure_mapping(mapped, self._secrets(mapped))

# SPDX-License-Identifier: Apache-2.0
"""Single changes: each to the store's device, the journal and the kernel.

Something is created in the journal first and in the kernel then, and removed
in the opposite order: a removal that the kernel refuses can be requested
again, and a crash in between is repaired at the next start.
"""

import collections
from collections.abc import Callable, Iterator
import contextlib
import functools
import time
from typing import Any

from oslo_concurrency import lockutils
from oslo_log import log as logging
from oslo_utils import excutils

from mydriver import events, exception, model
from mydriver.target import devices as target_devices
from mydriver.target import kernel, kinds
from mydriver.target.journal import base

LOG = logging.getLogger(__name__)

#: Called after a volume's mappings were read, and before any of them is
#: changed or removed: one that is requested again afterwards has another
#: version. Raises the error if nothing must be done any more.
Confirm = Callable[[], None]


class Changes:
    """The changes that use cases and reconciliation consist of.

    :param backend: name of the backend.
    :param journal: the desired state.
    :param target: the kernel target that is made to match it.
    :param known_kinds: how initiators log in.
    :param devices: brings up what is exported.
    :param local_devices: brings up what this host uses itself; by default
        the same devices.
    """

    def __init__(self, backend: str, journal: base.Journal,
                 target: kernel.KernelTarget, known_kinds: kinds.Kinds,
                 devices: target_devices.Devices,
                 local_devices: target_devices.Devices | None = None) -> None:
        self._backend = backend
        self._journal = journal
        self._target = target
        self._kinds = known_kinds
        self._devices = devices
        self._local_devices = local_devices or devices
        self._is_shared = local_devices is None
        #: How many local users each volume's device has.
        self._local: collections.Counter[str] = collections.Counter()

    def lock(self, volume_id: str) -> contextlib.AbstractContextManager[Any]:
        """Return the lock under which a volume's exports are changed."""
        lock: contextlib.AbstractContextManager[Any] = lockutils.lock(
            f'mydriver-{self._backend}-{volume_id}')
        return lock

    # -- exports

    def is_exported(self, volume_id: str) -> bool:
        """Tell whether a volume is exported."""
        try:
            self._journal.export(volume_id)
        except exception.ExportNotFound:
            return False
        return True

    def export(self, volume_id: str, target: model.Iqn) -> model.Export:
        """Bring up a volume's device and export it.

        :param target: for a new export; an existing one stays where it is.
        :raises MyDriverError: when that fails; a new export is undone then,
            an existing one stays as it is.
        """
        known = self.is_exported(volume_id)
        with events.phase('device'):
            device = self._devices.bring_up(volume_id)
        try:
            export = self._journal.add_export(volume_id, device, target)
            with events.phase('target'):
                self._target.ensure_export(export)
        except Exception:
            with excutils.save_and_reraise_exception():
                if not known:
                    self.undo(volume_id, self.withdraw, volume_id)
        return export

    def refresh(self, export: model.Export) -> model.Export:
        """Bring up the device of an export, and record its path and size.

        A record that cannot be read does not lock a guest out of its disk:
        the export keeps the device that it had, which the privileged verb
        checks by itself.

        :raises TargetError: when the device is smaller than the export.
        :raises MyDriverError: when it cannot be brought up. The export stays
            as it is in either case.
        """
        try:
            device = self._devices.bring_up(export.volume_id)
        except exception.IdentityUnknown as e:
            LOG.warning('Volume %s keeps the device %s: %s',
                        export.volume_id, export.device.path, e)
            return export
        if device == export.device:
            return export
        if device.size_bytes < export.device.size_bytes:
            raise exception.TargetError(
                f'export {device.path}', f'it has {device.size_bytes} bytes, '
                f'its export {export.device.size_bytes}')
        return self._journal.add_export(export.volume_id, device,
                                        export.target)

    def withdraw(self, volume_id: str) -> None:
        """Remove the export of a volume, then release its device.

        :raises TargetError: when the kernel refuses, as while it is mapped.
        """
        with contextlib.suppress(exception.ExportNotFound):
            self._target.drop_export(self._journal.export(volume_id))
        if not self._local[volume_id]:
            self._devices.let_down(volume_id)
        self._journal.remove_export(volume_id)

    @contextlib.contextmanager
    def local_device(self, volume_id: str) -> Iterator[model.BackingDevice]:
        """Keep the device of a volume up for this host's own use.

        It is released afterwards, unless the volume is exported by then, or
        may be, or has another local user.
        """
        with self.lock(volume_id):
            device = self._local_devices.bring_up(volume_id)
            self._local[volume_id] += 1
        try:
            yield device
        finally:
            with self.lock(volume_id):
                self._local[volume_id] -= 1
                if not self._local[volume_id]:
                    del self._local[volume_id]
                    self._release(volume_id)

    def _release(self, volume_id: str) -> None:
        """Let down a device, unless an export needs it.

        The work that it was up for is done, so an error must not fail it.
        """
        try:
            if not self._is_shared or not self.is_exported(volume_id):
                self._local_devices.let_down(volume_id)
        except exception.MyDriverError as e:
            LOG.warning('The device of volume %s stays up: %s', volume_id, e)

    def withdraw_unused(self, volume_id: str) -> bool:
        """Remove the export of a volume unless an initiator uses it.

        :returns: whether the volume is not exported any more.
        """
        with self.lock(volume_id):
            users = [str(m.mapping.initiator) for m in self.users(volume_id)]
            if users:
                LOG.info('Volume %s stays exported, %s use it', volume_id,
                         ', '.join(users))
                return False
            if self.is_exported(volume_id):
                with timed('Withdrew volume %s', volume_id):
                    self.withdraw(volume_id)
            return True

    # -- mappings

    def users(self, volume_id: str, but: model.Iqn | None = None
              ) -> list[model.MappedExport]:
        """Return the mappings of a volume; drop those of failed attaches.

        :param but: do not drop the one of this initiator.
        """
        return [m for m in self._journal.mappings(volume_id)
                if m.mapping.initiator == but or not self.drop_if_doomed(m)]

    def confirmed(self, volume_id: str, confirm: Confirm | None
                  ) -> list[model.MappedExport]:
        """Return the mappings of a volume, and those of failed attaches.

        The caller does not hold :meth:`lock`: who holds what ``confirm`` waits
        for may be waiting for it.

        :param confirm: see :data:`Confirm`.
        """
        found = self._journal.mappings(volume_id)
        if found and confirm is not None:
            confirm()
        return found

    def map(self, mapped: model.MappedExport) -> None:
        """Make the kernel match the journal for a mapping."""
        self._target.ensure_mapping(mapped, self._kinds.secrets(mapped))

    def protect(self, mapped: model.MappedExport) -> None:
        """Write-protect a mapping."""
        self.map(self._journal.add_mapping(
            mapped.mapping.volume_id, mapped.mapping.initiator,
            read_only=True, mutual=mapped.kind.mutual,
            version=mapped.version))

    def unmap(self, mapped: model.MappedExport, *,
              quarantine: bool = True) -> None:
        """Remove a mapping, unless it was requested again.

        :param quarantine: hold its LUN back; False only when no host was
            ever told of it.
        """
        mapping = mapped.mapping
        self._target.drop_mapping(mapped)
        self._journal.remove_mapping(
            mapping.volume_id, mapping.initiator, quarantine=quarantine,
            version=mapped.version)

    def drop_if_doomed(self, mapped: model.MappedExport) -> bool:
        """Remove a mapping that a failed attach left behind.

        :returns: whether it is such a mapping; one that cannot be removed
            yet is tried again next time.
        """
        if mapped.doomed:
            self.undo(mapped.mapping.volume_id, functools.partial(
                self.unmap, quarantine=False), mapped)
        return mapped.doomed

    def take_back(self, mapped: model.MappedExport) -> None:
        """Undo a failed attach, now or later."""
        mapping = mapped.mapping
        try:
            self.unmap(mapped, quarantine=False)
        except Exception as e:
            LOG.error('The failed attach of volume %s to %s cannot be undone '
                      'yet: %s', mapping.volume_id, mapping.initiator, e)
            self.undo(mapping.volume_id, functools.partial(
                self._journal.doom, mapping.volume_id,
                version=mapped.version), mapping.initiator)

    def undo(self, volume_id: str, step: Callable[[Any], object],
             of: Any) -> None:
        """Undo a step; log its failure, so that the first error is raised."""
        try:
            step(of)
        except Exception as e:
            LOG.error('A failed change of volume %s cannot be undone: %s',
                      volume_id, e)


@contextlib.contextmanager
def failure_logged(volume_id: str) -> Iterator[None]:
    """Log that a volume cannot be exported, and go on with the others."""
    try:
        yield
    except exception.MyDriverError as e:
        LOG.error('Volume %s cannot be exported: %s', volume_id, e)


@contextlib.contextmanager
def timed(text: str, *args: object) -> Iterator[None]:
    """Log one line when an operation has succeeded, with its duration."""
    started = time.monotonic()
    yield
    LOG.info('%s in %.1f ms', text % args,
             (time.monotonic() - started) * 1e3)

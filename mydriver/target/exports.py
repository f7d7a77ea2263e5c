# SPDX-License-Identifier: Apache-2.0
"""The use cases: their order, and what is undone when a step fails.

Each change goes the same way: the journal says what shall be, then the target
is made so. A crash between the two is mended by :meth:`ExportService.start`.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
import contextlib
import dataclasses
import functools
import os
import time
from typing import Any
import uuid
import zlib

from oslo_concurrency import lockutils
from oslo_log import log as logging
from oslo_utils import excutils

from mydriver import connection, discovery, exception, model
from mydriver.connection import iscsi
from mydriver.target import chap, kinds, pool, reconcile, recovery, state
from mydriver.target import lio as targets
from mydriver.target.journal import file
from mydriver.target.journal import sqlite as journals

LOG = logging.getLogger(__name__)

#: (target, initiator, portals, timeout_s) -> the portals that show it
Discover = Callable[
    [model.Iqn, model.Iqn, Sequence[model.Portal], float],
    tuple[model.Portal, ...]]


class ExportService:
    """Exports and their mappings, of one backend.

    :param settings: what the backend is made of.
    :param journal: the desired state.
    :param target: where it is made so.
    :param keys: from which CHAP credentials are derived; None where there
        never was CHAP.
    :param name_prefix: how the names of our backstores begin.
    :param discover: how portals are asked.
    """

    def __init__(self, settings: pool.Settings, journal: journals.Journal,
                 target: targets.KernelTarget, keys: chap.KeyRing | None,
                 name_prefix: str,
                 discover: Discover = discovery.portals_showing) -> None:
        self._settings = settings
        self._journal = journal
        self._target = target
        self._kinds = kinds.Kinds(settings, journal, target, keys)
        self._lost = reconcile.Reconciler(settings, journal, target,
                                          self._kinds, name_prefix)
        self._name_prefix = name_prefix
        self._discover = discover
        self._pool = pool.pool(settings)
        self._missing: tuple[str, ...] = ()

    # -- life

    def check(self) -> None:
        """See that the host can serve; log what is amiss all the same.

        :raises ConfigurationError: names what is missing, and the remedy.
        """
        for concern in self._target.check():
            LOG.warning('Backend %s: %s', self._settings.backend, concern)

    def check_serving(self) -> None:
        """See that all targets of the pool take logins.

        A portal that is missing where there is another is logged, once.

        :raises TargetDown: names the targets that take none.
        """
        missing = pool.missing_portals(
            self._settings, self._pool, self._target.listening)
        if missing == self._missing:
            return
        self._missing = missing
        if missing:
            LOG.warning('Backend %s does not serve %s; hosts get its other '
                        'portals', self._settings.backend, '; '.join(missing))
        else:
            LOG.info('Backend %s serves all of its portals again',
                     self._settings.backend)

    def start(self) -> None:
        """Make the kernel have what the journal says.

        Objects that are correct already are left alone. An export that cannot
        be made is logged and left out: it must not keep the others down.

        :raises ConfigurationError: when something of it is another's.
        :raises TargetError: when the pool of targets cannot be made.
        """
        self._pool, known = self._lost.own_targets()
        self._kinds.learn()
        # What is there keeps its kind before its target gets another one.
        there = set(self._target.names())
        self._target.ensure_pool([t for t in known if str(t) not in there],
                                 self._kinds.more_portals())
        recovery.adopt(known, self._name_prefix, self._journal, self._target,
                       self._kinds.found)
        self._kinds.keep_key()
        mapped = [p for p in self._journal.mappings() if not self._is_ended(p)]
        for placed in mapped:
            with self._left_out(placed.export.volume_id):
                self._target.ensure_mapping(placed,
                                            self._kinds.secrets(placed))
        self._target.ensure_pool(known, self._kinds.more_portals())
        done = {p.export.volume_id for p in mapped}
        for export in self._journal.exports():
            if export.volume_id not in done:
                with self._left_out(export.volume_id):
                    self._target.ensure_export(export)
        self._lost.drop_unused(set(known) - set(self._pool))
        LOG.info('Backend %s exports %d volumes, %d mappings',
                 self._settings.backend, len(self._journal.exports()),
                 len(mapped))

    def settle(self, is_live: Callable[[str, model.Iqn | None], bool],
               volume_id: str | None = None) -> int:
        """Drop what earlier runs left and Cinder has no attachment of.

        A crash in the middle of an attach leaves such a mapping or export:
        Cinder never heard of it and will never ask for its end. An export
        without a mapping serves nobody; each attach makes it anew.

        :param is_live: tells for a volume and an initiator whether the
            mapping must stay, and for a volume and None whether the export
            must; where it is in doubt, it says so.
        :param volume_id: of the only volume to look at; its export stays.
        :returns: how many mappings were dropped.
        """
        stale = [p for p in self._journal.earlier_mappings()
                 if volume_id in (None, p.mapping.volume_id)
                 and not is_live(p.mapping.volume_id, p.mapping.initiator)]
        for placed in stale:
            LOG.warning('Volume %s is mapped to %s, which Cinder has no '
                        'attachment of: unmapping', placed.mapping.volume_id,
                        placed.mapping.initiator)
            with self._left_out(placed.mapping.volume_id), self._lock(
                    placed.mapping.volume_id):
                self._unmap(placed)
        mapped = {p.export.volume_id for p in self._journal.mappings()}
        for export in self._journal.exports():
            if not volume_id and export.volume_id not in mapped and (
                    not is_live(export.volume_id, None)):
                with self._left_out(export.volume_id):
                    self.remove_export(export.volume_id)
        return len(stale)

    def remake(self, recorded: Iterable[recovery.Recorded],
               device: Callable[[str], model.BackingDevice]) -> int:
        """Map again what Cinder has attachments for and the journal lost.

        The LUN is the one that the host was told. Nothing that is mapped is
        changed for it.

        :param recorded: Cinder's attachments.
        :param device: returns what a volume's export is made of.
        :returns: how many mappings were made.
        """
        made = 0
        for one in recorded:
            with self._left_out(one.mapping.volume_id), self._lock(
                    one.mapping.volume_id):
                made += self._remake(one, device)
        return made

    def forget_keys(self, recorded: Iterable[recovery.Recorded]) -> None:
        """Forget replaced CHAP keys that no host was told secrets of.

        The journal may have been lost, so that it alone does not tell.

        :param recorded: all attachments that Cinder has.
        """
        self._kinds.forget_keys({self._kinds.source_of(
            one.chap, one.mapping.initiator, one.target) for one in recorded})

    # -- exports

    def all(self) -> list[model.Export]:
        """Return all exports."""
        return self._journal.exports()

    def create_export(self, volume_id: str,
                      device: model.BackingDevice) -> model.Export:
        """Export a volume; it does no harm to do it again.

        :param volume_id: UUID of the backing.
        :param device: what to export, with its present size.
        :raises TargetError: when the kernel refuses.
        """
        with self._lock(volume_id), _timed('Exported volume %s', volume_id):
            place = zlib.crc32(uuid.UUID(volume_id).bytes) % len(self._pool)
            known = self.is_exported(volume_id)
            export = self._journal.add_export(volume_id, device,
                                              self._pool[place])
            try:
                self._target.ensure_export(export)
            except Exception:
                with excutils.save_and_reraise_exception():
                    if not known:
                        self._undo(volume_id, self._withdraw, export)
            return export

    ensure_export = create_export

    def remove_export(self, volume_id: str) -> bool:
        """Withdraw a volume, unless an initiator still uses it.

        Cinder calls this too when one of several attachments failed.

        :returns: True when the volume is not exported any more.
        """
        with self._lock(volume_id):
            users = [str(p.mapping.initiator) for p in self._users(volume_id)]
            if users:
                LOG.info('Volume %s stays exported, %s use it', volume_id,
                         ', '.join(users))
                return False
            if self.is_exported(volume_id):
                with _timed('Withdrew volume %s', volume_id):
                    self._withdraw(self._journal.export(volume_id))
            return True

    def resize(self, volume_id: str, size_bytes: int) -> None:
        """Tell the initiators of a volume its new size.

        :param size_bytes: which the backing has already.
        """
        with self._lock(volume_id):
            if not self.is_exported(volume_id):
                return
            old = self._journal.export(volume_id)
            device = dataclasses.replace(old.device, size_bytes=size_bytes)
            export = self._journal.add_export(volume_id, device, old.target)
            self._target.resize(export)

    def is_exported(self, volume_id: str) -> bool:
        """Tell whether a volume is exported."""
        try:
            self._journal.export(volume_id)
        except exception.ExportNotFound:
            return False
        return True

    # -- connections

    def initialize_connection(self, volume_id: str,
                              connector: Mapping[str, Any], *,
                              read_only: bool = False,
                              keep_writable: bool = False,
                              encrypted: bool = False) -> dict[str, Any]:
        """Let the connector's initiator use an exported volume.

        An initiator has one mapping of a volume, however often its host
        attaches it.

        :param connector: of the host that attaches.
        :param read_only: write-protect the LUN for that initiator.
        :param keep_writable: do not, where it may write already.
        :param encrypted: the host encrypts.
        :returns: ``connection_info['data']``; it holds secrets.
        :raises InvalidConnector: when nothing can be done for it; nothing
            was changed then.
        :raises ExportNotFound: when the volume is not exported.
        :raises TargetError: when the kernel refuses.
        :raises TargetNotDiscovered: when no portal shows the target to the
            initiator; all is as before then.
        """
        host = connection.Connector.parse(connector)
        initiator, can = host.require_initiator(), host.capabilities
        with self._lock(volume_id), _timed(
                'Mapped volume %s to %s', volume_id, initiator):
            was_read_only = any(
                p.mapping.initiator == initiator and p.mapping.read_only
                for p in self._users(volume_id, but=initiator))
            placed = self._journal.add_mapping(
                volume_id, initiator, read_only=read_only,
                keep_writable=keep_writable,
                mutual=bool(self._kinds.of_new.chap) and can.mutual_chap,
                kind=self._kinds.of_new)
            try:
                self._kinds.check(placed)
                self._target.ensure_mapping(placed,
                                            self._kinds.secrets(placed))
                portals = self._discover(
                    placed.export.target, initiator,
                    self._portals(placed.export.target),
                    self._settings.discovery_timeout_s)
            except Exception:
                with excutils.save_and_reraise_exception():
                    if placed.created:
                        self._take_back(placed)
                    elif was_read_only:
                        self._undo(volume_id, self._protect, placed)
        return iscsi.Connection(
            volume_id=volume_id,
            paths=iscsi.paths(placed.export.target, portals,
                              placed.mapping.lun),
            chap=self._kinds.secrets(placed), read_only=read_only,
            encrypted=encrypted, wwn=model.naa_id(volume_id)).to_data(can)

    def protect(self, volume_id: str, connector: Mapping[str, Any]) -> None:
        """Write-protect the mapping of an initiator that only reads now.

        :param connector: of the host.
        :raises TargetError: when the kernel refuses.
        """
        initiator = pool.initiator_of(connector)
        with self._lock(volume_id):
            for placed in self._journal.mappings(volume_id):
                if placed.mapping.initiator == initiator:
                    self._protect(placed)

    def terminate_connection(self, volume_id: str,
                             connector: Mapping[str, Any] | None) -> bool:
        """Take a volume from an initiator.

        :param connector: of the host that detached; None means all hosts.
        :returns: True while other initiators use the volume.
        """
        initiator = (None if connector is None
                     else pool.initiator_of(connector))
        with self._lock(volume_id), _timed(
                'Unmapped volume %s from %s', volume_id,
                initiator or 'everybody'):
            for placed in self._users(volume_id):
                if initiator in (None, placed.mapping.initiator):
                    self._unmap(placed)
            return bool(self._users(volume_id))

    # -- inside

    def _portals(self, target: model.Iqn) -> tuple[model.Portal, ...]:
        """Return the portals to ask: each missing one would cost its time."""
        listening = self._target.listening(target)
        return tuple(p for p in self._settings.portals if str(p) in listening
                     ) or self._settings.portals

    def _remake(self, one: recovery.Recorded,
                device: Callable[[str], model.BackingDevice]) -> bool:
        mapping, target = one.mapping, one.target
        placed = next((p for p in self._users(mapping.volume_id)
                       if p.mapping.initiator == mapping.initiator), None)
        if placed is not None:
            self._lost.tell_secrets(placed, one)
            return False
        what = (f'LUN {mapping.lun} of {mapping.initiator} at {target}, '
                f'volume {mapping.volume_id},')
        if not self._lost.is_adopted(one, device):
            LOG.warning('%s is not mapped and cannot be made again: it is on '
                        'another host, or something else has its place', what)
            return False
        placed = next(p for p in self._journal.mappings(mapping.volume_id)
                      if p.mapping.initiator == mapping.initiator)
        self._target.ensure_mapping(
            placed, self._kinds.secrets(placed) or one.chap)
        more = self._kinds.more_portals()
        if target in more:
            self._target.ensure_pool([target], more)
        LOG.warning('%s was lost and is made again', what)
        return True

    def _users(self, volume_id: str, but: model.Iqn | None = None
               ) -> list[journals.Placed]:
        """Return the mappings of a volume, once those that ended are dropped.

        :param but: leave what there is of this initiator.
        """
        return [p for p in self._journal.mappings(volume_id)
                if p.mapping.initiator == but or not self._is_ended(p)]

    def _is_ended(self, placed: journals.Placed) -> bool:
        """Drop a mapping whose attach failed, and whose undoing did too.

        :returns: whether it is such a mapping; where it cannot be dropped, it
            waits for the next time.
        """
        if placed.doomed:
            self._undo(placed.mapping.volume_id, functools.partial(
                self._unmap, quarantine=False), placed)
        return placed.doomed

    def _take_back(self, placed: journals.Placed) -> None:
        """Undo a failed attach, now or later."""
        mapping = placed.mapping
        try:
            self._unmap(placed, quarantine=False)
        except Exception as e:
            LOG.error('The failed attach of volume %s to %s cannot be undone '
                      'yet: %s', mapping.volume_id, mapping.initiator, e)
            self._undo(mapping.volume_id, functools.partial(
                self._journal.doom, mapping.volume_id), mapping.initiator)

    def _undo(self, volume_id: str, step: Callable[[Any], object],
              of: Any) -> None:
        """Undo something; when that fails too, its cause is what is told."""
        try:
            step(of)
        except Exception as e:
            LOG.error('What failed of volume %s cannot be undone: %s',
                      volume_id, e)

    def _unmap(self, placed: journals.Placed, *,
               quarantine: bool = True) -> None:
        # The kernel first: a removal that it refuses can be asked for again.
        mapping = placed.mapping
        self._target.drop_mapping(placed.export, mapping.initiator,
                                  mapping.lun)
        self._journal.remove_mapping(
            mapping.volume_id, mapping.initiator, quarantine=quarantine)

    def _protect(self, placed: journals.Placed) -> None:
        self._target.ensure_mapping(self._journal.add_mapping(
            placed.mapping.volume_id, placed.mapping.initiator,
            read_only=True, mutual=placed.mutual),
            self._kinds.secrets(placed))

    def _withdraw(self, export: model.Export) -> None:
        self._target.drop_export(export)
        self._journal.remove_export(export.volume_id)

    def _lock(self, volume_id: str) -> contextlib.AbstractContextManager[Any]:
        lock: contextlib.AbstractContextManager[Any] = lockutils.lock(
            f'mydriver-{self._settings.backend}-{volume_id}')
        return lock

    @contextlib.contextmanager
    def _left_out(self, volume_id: str) -> Iterator[None]:
        try:
            yield
        except exception.MyDriverError as e:
            LOG.error('Volume %s cannot be exported: %s', volume_id, e)


@contextlib.contextmanager
def _timed(text: str, *args: object) -> Iterator[None]:
    """Log one line when an operation is done, with its duration."""
    started = time.monotonic()
    yield
    LOG.info('%s in %.1f ms', text % args,
             (time.monotonic() - started) * 1e3)


@functools.cache
def run_id() -> str:
    """Return what tells this run of the service from earlier ones."""
    return uuid.uuid4().hex


def build(settings: pool.Settings, *,
          replace_damaged: bool = False) -> ExportService:
    """Put a service together: journal, LIO and discovery.

    :param replace_damaged: set a damaged journal aside and begin another:
        for those only who ask Cinder afterwards what is missing in it. Others
        get a copy in memory of one that cannot be written.
    :raises ConfigurationError: when the state's folder cannot be used.
    :raises JournalError: when the journal cannot be used.
    """
    state.prepare(settings.state_path, to_write=replace_damaged)
    keys = _keys(settings, is_strict=replace_damaged)
    journal = open_journal(settings, replace_damaged=replace_damaged)
    target = targets.LioTarget(settings.backend, settings.portals,
                               settings.chap)
    return ExportService(settings, journal, target, keys, target.name_prefix)


def _keys(settings: pool.Settings, *, is_strict: bool
          ) -> chap.KeyRing | None:
    """Return the keys of a backend, None where there never were any.

    :param is_strict: there will be new mappings, which need the current one.
    :raises ConfigurationError: when that is wrong.
    """
    path = os.path.join(settings.state_path, chap.KEY_FILE)
    if not (settings.chap or os.path.exists(path)):
        return None
    try:
        return chap.KeyRing.load(settings.state_path)
    except exception.ConfigurationError as e:
        if is_strict and settings.chap:
            raise
        LOG.error('Backend %s: %s Mappings go by the copies of its keys, as '
                  'far as there are any.', settings.backend, e)
        return chap.KeyRing.load_kept(settings.state_path)


def open_journal(settings: pool.Settings, *,
                 replace_damaged: bool) -> journals.Journal:
    """Open the journal of a backend; see :func:`build`."""
    path = os.path.join(settings.state_path, 'journal.sqlite')
    try:
        return journals.Journal(path, run_id())
    except exception.JournalUnwritable as e:
        if replace_damaged:
            raise
        LOG.error('Backend %s: %s What it says is restored all the same.',
                  settings.backend, e)
        return journals.Journal(file.copy_to_memory(path), run_id())
    except exception.JournalDamaged as e:
        if not replace_damaged:
            raise
        aside = file.set_aside(path)
        LOG.error('Backend %s: the journal is damaged: %s. It was renamed to '
                  '%s and is rebuilt: what the kernel has is adopted and '
                  "stays in service, the rest comes from Cinder's records.",
                  settings.backend, e.args[1], aside)
        journal = journals.Journal(path, run_id())
        journal.hold_back_luns(aside)
        return journal

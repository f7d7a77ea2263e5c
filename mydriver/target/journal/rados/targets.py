# SPDX-License-Identifier: Apache-2.0
"""The registry of a backend's targets, and the object of each.

A target's object is created before the registry lists it, so one that the
registry lists and that does not exist was lost. Its object stays when a target
is removed: it knows which LUNs initiators may still have devices for.
"""

from collections.abc import Callable, Collection, Iterable, Sequence
import dataclasses
import secrets
import time
from typing import TypeVar

from oslo_log import log as logging

from mydriver import exception, model
from mydriver.ceph import notify, omap
from mydriver.target.journal import values
from mydriver.target.journal.rados import (
    errors,
    keys,
    objects,
    record,
    records,
    views,
)

LOG = logging.getLogger(__name__)

_R = TypeVar('_R')
_T = TypeVar('_T', bound=record.Record)
_V = TypeVar('_V', bound=views.View)


@dataclasses.dataclass(frozen=True, slots=True)
class Run:
    """One run of a service of the backend; mappings record it.

    :param service: names the service, whichever run it is: its host.
    :param id: of the run.
    """

    service: str
    id: str


class Targets:
    """Targets; see :class:`..base.Journal`.

    :param pool: the objects of the backend's namespace.
    :param owner: whose backend it is: the same text for all services of one
        cluster.
    :param run: of this service.
    :param clock: returns seconds since the epoch.
    :param notices: tell others that the object of a target has changed.
    """

    def __init__(self, pool: omap.Objects, owner: str, run: Run,
                 notices: notify.Notices,
                 clock: Callable[[], float] = time.time) -> None:
        self._store = objects.Store(pool, notices.ring)
        self._pool = pool
        self._owner = owner
        self._run = run
        self._clock = clock
        self._notices = notices
        self._ids: dict[model.Iqn, str] = {}
        self.path = self._store.path(keys.REGISTRY)

    def close(self) -> None:
        """Close the journal; the connection to Ceph stays."""
        self._notices.close()

    def create(self) -> None:
        """Create the registry if there is none.

        :raises ConfigurationError: when the one that exists is another's.
        """
        with errors.translated(self.path):
            if self._pool.read(keys.REGISTRY, [keys.HEADER]) is None:
                header = records.Registry(secrets.token_hex(16), self._owner)
                self._pool.write(keys.REGISTRY, {
                    keys.HEADER: header.text(keys.HEADER)}, new=True)
        self._registry()

    def add_targets(self, targets: Sequence[model.Iqn]) -> list[model.Iqn]:
        """See :meth:`..base.Journal.add_targets`."""
        known, registry, _ = self._registry()
        missing = [t for t in targets if t not in known]
        if missing:
            made = {t: self._object(t, registry) for t in missing}
            self._list({keys.target(t): records.Target(made[t]).text(
                keys.target(t)) for t in missing})
        return self.targets()

    def targets(self) -> list[model.Iqn]:
        """See :meth:`..base.Journal.targets`."""
        return sorted(self._registry()[0])

    def remove_target(self, target: model.Iqn) -> bool:
        """See :meth:`..base.Journal.remove_target`."""
        if target not in self._registry()[0]:
            return False

        def close(change: views.Change) -> bool:
            header = change.header
            if header.exports or header.mappings or header.nodes:
                return False
            change.header = dataclasses.replace(header, removed=True)
            change.volumes = None
            return True

        if not self._change(target, (), close):
            return False
        self._list({}, [keys.target(target)])
        return True

    def _now(self) -> int:
        return int(self._clock())

    # -- the registry

    def _registry(self) -> tuple[dict[model.Iqn, str], records.Registry, str]:
        """Read the registry.

        :returns: the ids of the targets' objects, the header, and its text.
        """
        with errors.translated(self.path):
            found = self._pool.read(keys.REGISTRY, [keys.HEADER],
                                    [omap.Range(keys.TARGETS)])
        if found is None:
            raise exception.JournalUnusable(
                self.path, 'it does not exist', 'Start cinder-volume, which '
                'creates it. If it was lost, it is created again, too; the '
                'objects of targets have everything else.')
        text = found.values.get(keys.HEADER, '')
        header = self._parsed(keys.HEADER, records.Registry, text)
        if header.service != self._owner:
            raise exception.ConfigurationError(
                'mydriver_rbd_pool', f'the journal in {self._pool.where} '
                f'belongs to {header.service}, this is {self._owner}',
                'Give each backend a section name, or a pool, of its own.')
        ids = {}
        for key in found.values:
            if key != keys.HEADER:
                iqn = key.removeprefix(keys.TARGETS)
                if not values.is_iqn(iqn):
                    raise errors.damaged(f'{self.path}, key {key}',
                                         'it is not the name of a target')
                ids[model.Iqn(iqn)] = self._parsed(
                    key, records.Target, found.values[key]).id
        self._ids = ids
        return ids, header, text

    def _parsed(self, key: str, kind: type[_T], text: str) -> _T:
        try:
            return kind.parse(key, text)
        except values.Damaged as e:
            raise errors.damaged(f'{self.path}, key {key}', str(e)) from e

    def _list(self, put: dict[str, str], removed: Collection[str] = ()
              ) -> None:
        """Change the registry's list."""
        while True:
            _, header, text = self._registry()
            put[keys.HEADER] = dataclasses.replace(
                header, generation=header.generation + 1).text(keys.HEADER)
            with errors.translated(self.path):
                outcome = self._pool.write(keys.REGISTRY, put, removed,
                                           where={keys.HEADER: text})
            if outcome is omap.Outcome.DONE:
                self._registry()
                return

    # -- the objects of targets

    def _object(self, target: model.Iqn, registry: records.Registry) -> str:
        """Create the object of a target, or take the one that exists.

        :returns: its id.
        """
        name = keys.target_object(target)
        header = records.Header(secrets.token_hex(16), registry.id)
        with errors.translated(self._store.path(name)):
            outcome = self._pool.write(name, {
                keys.HEADER: header.text(keys.HEADER),
                keys.APPLIED: records.Applied().text(keys.APPLIED)}, new=True)
        if outcome is omap.Outcome.DONE:
            return header.id

        def open_again(change: views.Change) -> str:
            found = change.header
            if found.registry != registry.id:
                LOG.error('%s belongs to a registry of targets that was lost. '
                          'It is in use again, with %d exports. Targets that '
                          'are not configured any more may be missing: see '
                          'rados ls in that namespace.', change.path,
                          found.exports)
            if found.removed or found.registry != registry.id:
                change.header = dataclasses.replace(
                    found, removed=False, registry=registry.id)
            return found.id

        return self._store.change(name, (), open_again)

    def _view(self, target: model.Iqn, names: Iterable[str],
              ranges: Sequence[omap.Range] = ()) -> views.View:
        """Read keys of a target's object."""
        return self._checked(target, self._store.view(
            keys.target_object(target), list(names), ranges))

    def _whole(self, target: model.Iqn, names: Iterable[str] = ()
               ) -> views.View:
        """Read a target's object with all of its records."""
        return self._checked(target, self._store.whole(
            keys.target_object(target), names=list(names)))

    def _change(self, target: model.Iqn, names: Iterable[str],
                step: Callable[[views.Change], _R],
                ranges: Sequence[omap.Range] = ()) -> _R:
        """Change a target's object, and tell those who wait for that."""
        return self._store.change(
            keys.target_object(target), list(names),
            lambda change: step(self._checked(target, change)), ranges)

    def _checked(self, target: model.Iqn, view: _V) -> _V:
        """Return a view, if it is of the object that the registry lists."""
        if self._ids.get(target) != view.header.id:
            wanted = self._registry()[0].get(target)
            if wanted is None:
                raise exception.JournalUnusable(
                    view.path, 'its target is not one of the backend',
                    'It was removed; restart cinder-volume.')
            if wanted != view.header.id:
                raise errors.damaged(view.path, 'it is not the object that '
                                     f'{self.path} lists')
        return view

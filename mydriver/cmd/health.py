# SPDX-License-Identifier: Apache-2.0
"""Check a backend: its store, its host, and its exports."""

from collections.abc import Callable, Iterator, Mapping
import contextlib
import dataclasses
import functools
import os

from oslo_utils import units

from mydriver import exception, model
from mydriver.backend import settings
from mydriver.cmd import backends, served
from mydriver.cmd.findings import Finding
from mydriver.privileged import grants
from mydriver.stores import base
from mydriver.target import chap, configfs, kinds, pool
from mydriver.target import lio as targets
from mydriver.target.journal import identities
from mydriver.target.journal import sqlite as journals

#: Reads a target from the kernel.
Observe = Callable[[model.Iqn], configfs.SeenTarget | None]

#: The number of volumes shown, of those with the most extents.
_WORST = 3

_Facts = set[tuple[str | int, ...]]


@dataclasses.dataclass(frozen=True, slots=True)
class Comparison:
    """The journal of a backend, compared with the kernel.

    Objects that exist only in the kernel are not counted: they may belong to
    other software.

    :param targets: the targets in the journal.
    :param wanted: how many ``targets``, ``exports`` and ``mappings`` are in
        the journal.
    :param missing: how many of them the kernel lacks.
    """

    targets: tuple[model.Iqn, ...]
    wanted: Mapping[str, int]
    missing: Mapping[str, int]


def compare(wanted: Mapping[str, _Facts],
            observe: Observe = configfs.target) -> Comparison:
    """Compare the journal of a backend with the kernel.

    :param wanted: what identifies the objects in the journal.
    :raises TargetError: when the kernel target cannot be read.
    """
    iqns = tuple(model.Iqn(str(iqn)) for iqn, in sorted(wanted['targets']))
    seen = _seen([t for iqn in iqns if (t := observe(iqn))])
    return Comparison(
        iqns, {part: len(facts) for part, facts in wanted.items()},
        {part: len(facts - seen[part]) for part, facts in wanted.items()})


def check_host(backend: backends.Backend) -> Iterator[Finding]:
    """Check the store, and what the host needs for serving it."""
    store = _guarded('store', _store, backend)
    yield store
    if store.ok and (
            extents := _guarded('extents', _extents, backend)).detail:
        yield extents
    yield _guarded('host', _host, backend)


def _guarded(part: str, check: Callable[[backends.Backend], Finding],
             backend: backends.Backend) -> Finding:
    """Run a check; turn its error into a finding."""
    try:
        return check(backend)
    except exception.MyDriverError as e:
        return Finding(part, False, str(e))


def check_exports(backend: backends.Backend,
                  observe: Observe = configfs.target) -> Iterator[Finding]:
    """Check what :func:`compare` counts."""
    try:
        if backend.has_gateways:
            yield from served.check(backend)
            return
        if not backend.has_journal():
            yield Finding('exports', True, 'there is no journal yet at '
                          f'{backend.journal_path}')
            return
        found = compare(_wanted(backend), observe)
    except exception.TargetError as e:  # the journal can be read
        yield Finding('exports', False, str(e))
        yield from _initiators(backend)
        return
    except exception.MyDriverError as e:
        yield Finding('exports', False, str(e))
        return
    for part, wanted in found.wanted.items():
        missing = found.missing[part]
        yield Finding(part, not missing, (
            f'{missing} of {wanted} missing in the kernel. Run mydriver '
            'restore.' if missing else f'{wanted}, all in the kernel'))
    yield from _initiators(backend)


def _initiators(backend: backends.Backend) -> Iterator[Finding]:
    """Name the initiators that still use an earlier setting.

    This is not an error: they get the current setting when they attach again.
    """
    wanted = backend.settings
    journal = journals.SqliteJournal(backend.journal_path, 'status',
                                     read_only=True)
    try:
        nodes = journal.nodes()
    finally:
        journal.close()
    has_key = os.path.exists(os.path.join(backend.state_path, chap.KEY_FILE))
    try:
        keys = (chap.KeyRing.load(backend.state_path)
                if wanted.chap and has_key else None)
    except exception.ConfigurationError as e:
        yield Finding('initiators', False, str(e))
        return
    for what, kept in sorted(kinds.outdated(
            nodes, functools.partial(kinds.of_settings, wanted, keys)
            ).items()):
        names = sorted({str(n.initiator) for n in kept})
        yield Finding('initiators', True, (
            f'{", ".join(names)}: {what}, until all volumes of a target have '
            'been detached there'))


def _store(backend: backends.Backend) -> Finding:
    store = settings.store_of(backend.section, backend.name)
    try:
        store.check()
    except exception.NotYetMade as e:
        return Finding('store', True, f'{e.problem}, {e.remedy}'.rstrip('.'))
    room = store.capacity()
    return Finding(
        'store', True, f'{store.location}: '
        f'{room.free_bytes / units.Gi:.1f} of '
        f'{room.total_bytes / units.Gi:.1f} GiB free, '
        f'{room.provisioned_bytes / units.Gi:.1f} GiB provisioned, '
        f'{store.block_bytes()}-byte blocks')


def _extents(backend: backends.Backend) -> Finding:
    """Report the volumes with the most extents.

    :returns: a finding, whose detail is empty when there is nothing to report.
    """
    store = settings.store_of(backend.section, backend.name)
    if not store.traits.copies_hold_writes:
        return Finding('extents', True, '')
    limit = backend.section.safe_get('mydriver_max_extents')
    counted = sorted(_counted(store), reverse=True)[:_WORST]
    worst = ', '.join(f'{name} {count}' for count, name in counted)
    if counted and counted[0][0] > limit:
        return Finding(
            'extents', True, 'Some volumes cannot be copied while they are in '
            f'use: the limit is {limit} extents (mydriver_max_extents), the '
            f'highest counts are {worst}. See "Extents" in the operations '
            'guide.', warning=True)
    return Finding('extents', True, worst and
                   f'the highest counts are {worst}; the limit is {limit}')


def _counted(store: base.VolumeStore) -> Iterator[tuple[int, str]]:
    for name in store.names():
        # A volume may be deleted during the loop.
        with contextlib.suppress(exception.BackingNotFound):
            if name.startswith('volume-') and (count := store.extents(name)):
                yield count, name


def _host(backend: backends.Backend) -> Finding:
    wanted = backend.settings
    grants.current()  # raises if the files are not root's
    if wanted.gateways is not None:
        return Finding('host', True, 'gateways serve the volumes, whichever '
                       'hosts they are on')
    pool.pool(wanted)  # raises if the names would not be valid
    target = targets.of_backend(wanted)
    concerns = target.check()
    at = ', '.join(str(p) for p in wanted.portals)
    known = [model.Iqn(str(t)) for t, in sorted(_wanted(backend)['targets'])
             ] if backend.has_journal() else []
    if known:
        missing = pool.missing_portals(wanted, known, target.listening)
        _check_database()
        text = f'serves {len(known)} targets at {at}'
        if missing:
            concerns.insert(0, f'Not served: {"; ".join(missing)}.')
    else:
        text = (f'can serve at {at}; there are no targets yet, cinder-volume '
                'creates them when it starts')
    return Finding('host', True, '. '.join([text, *concerns]),
                   warning=bool(concerns))


def _check_database() -> None:
    """Check that the kernel can store persistent reservations.

    :raises ConfigurationError: when it cannot.
    :raises TargetError: when this user may not see that.
    """
    folder = configfs.database()
    if not folder:
        # Raises if it cannot be told.
        configfs.exists(configfs.ROOT / 'dbroot')
        raise exception.ConfigurationError(
            'Kernel target', 'the kernel does not say where it stores '
            'persistent reservations (dbroot)', 'Run mydriver restore.')
    path = os.path.join(folder, 'pr')
    if not (configfs.exists(path) and os.path.isdir(path)):
        raise exception.ConfigurationError(
            'Kernel target', f'{path} does not exist, so persistent '
            'reservations of guests fail', 'Run mydriver restore.')


def _wanted(backend: backends.Backend) -> Mapping[str, _Facts]:
    """Return the targets, exports and mappings in the journal."""
    return identities.Identities(backend.journal_path).read()


def _seen(targets_seen: list[configfs.SeenTarget]) -> dict[str, _Facts]:
    """Return the targets, exports and mappings in the kernel."""
    return {
        'targets': {(t.iqn,) for t in targets_seen if t.enabled},
        'exports': {(t.iqn, e.lun, e.serial)
                    for t in targets_seen for e in t.exports},
        'mappings': {(t.iqn, m.initiator, m.lun, m.tpg_lun, m.read_only)
                     for t in targets_seen for m in t.mappings}}

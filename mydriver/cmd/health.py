# SPDX-License-Identifier: Apache-2.0
"""Whether a backend is in order: its store, its host, and what it exports."""

from collections.abc import Callable, Iterator
import dataclasses
import os

from mydriver import exception, model
from mydriver.cinder_volume import configfs, serving, settings
from mydriver.cinder_volume import journal as journals
from mydriver.cinder_volume import target as targets
from mydriver.cmd import backends
from mydriver.privileged import grants

GIB = 1024 ** 3

#: Returns what the kernel has of a target.
Observe = Callable[[model.Iqn], configfs.SeenTarget | None]

_Facts = set[tuple[str, ...]]


@dataclasses.dataclass(frozen=True, slots=True)
class Finding:
    """The state of a part of a backend.

    :param part: ``store``, ``host``, ``targets``, ``exports``, ``mappings``.
    :param ok: nothing is wrong with it.
    :param detail: figures, or what is wrong and the remedy.
    """

    part: str
    ok: bool
    detail: str


def of_host(backend: backends.Backend) -> Iterator[Finding]:
    """Try the store, and what the host needs to serve."""
    for part, look in (('store', _store), ('host', _host)):
        try:
            yield Finding(part, True, look(backend))
        except exception.MyDriverError as e:
            yield Finding(part, False, str(e))


def of_exports(backend: backends.Backend, observe: Observe = configfs.target
               ) -> Iterator[Finding]:
    """Compare what the journal says with what the kernel has.

    What the kernel has beyond that is no fault: it may not be ours.
    """
    if not os.path.exists(backend.journal_path):
        yield Finding('exports', True, 'there is no journal yet')
        return
    try:
        wanted = _wanted(backend)
    except exception.JournalError as e:
        yield Finding('exports', False, str(e))
        return
    iqns = [model.Iqn(iqn) for iqn, in wanted['targets']]
    seen = _seen([t for iqn in iqns if (t := observe(iqn))])
    for part, facts in wanted.items():
        missing = len(facts - seen[part])
        yield Finding(part, not missing, (
            f'{missing} of {len(facts)} are not in the kernel. Run mydriver '
            'restore.' if missing else f'{len(facts)}, all in the kernel'))


def _store(backend: backends.Backend) -> str:
    store = settings.store_of(backend.section)
    store.check()
    room = store.capacity()
    return (f'{store.location}: {room.free_bytes / GIB:.1f} of '
            f'{room.total_bytes / GIB:.1f} GiB free, '
            f'{room.provisioned_bytes / GIB:.1f} GiB provisioned')


def _host(backend: backends.Backend) -> str:
    wanted = backend.settings
    grants.current()  # complains of files that are not root's
    serving.pool(wanted)  # complains of names that make no target
    targets.LioTarget(backend.name, wanted.portals, None).check()
    return f'serves at {", ".join(str(p) for p in wanted.portals)}'


def _wanted(backend: backends.Backend) -> dict[str, _Facts]:
    """Return the targets, exports and mappings of the journal."""
    journal = journals.Journal(backend.journal_path, 'status')
    try:
        return {
            'targets': {(str(t),) for t in journal.add_targets([])},
            'exports': {(str(e.target), str(e.lun), e.volume_id)
                        for e in journal.exports()},
            'mappings': {(str(p.export.target), str(p.mapping.initiator),
                          str(p.mapping.lun), str(p.export.lun),
                          _mode(p.mapping.read_only))
                         for p in journal.mappings()}}
    finally:
        journal.close()


def _seen(targets_seen: list[configfs.SeenTarget]) -> dict[str, _Facts]:
    """Return the same of the kernel."""
    return {
        'targets': {(t.iqn,) for t in targets_seen if t.enabled},
        'exports': {(t.iqn, str(e.lun), e.serial)
                    for t in targets_seen for e in t.exports},
        'mappings': {(t.iqn, m.initiator, str(m.lun), str(m.tpg_lun),
                      _mode(m.read_only))
                     for t in targets_seen for m in t.mappings}}


def _mode(read_only: bool) -> str:
    return 'ro' if read_only else 'rw'

# SPDX-License-Identifier: Apache-2.0
"""Whether a request came to its end, as far as its lines show."""

import collections
from collections.abc import Collection, Iterable, Sequence
import re

from mydriver.trace import clocks, record, search, steps

#: What only a request for an attach or a detach does. Others connect volumes
#: as well: Nova when it reboots a server, Cinder when it copies an image.
_ASKED = {
    search.ATTACH: ('attach request', 'reserve_block_device_name',
                    'attach_volume (manager)'),
    search.DETACH: ('detach request', 'detach_volume (manager)',
                    'attachment_delete'),
}
_SAID = {search.ATTACH: re.compile(r'Attaching volume '),
         search.DETACH: re.compile(r'Detaching volume ')}
#: The same in the logs of Cinder, for another service.
_CALLED = ('attachment_create', 'attachment_update')

#: What Nova does last. The manager's own lines are logged at DEBUG only.
_LAST = {
    search.ATTACH: ('attachment_complete', 'attach_volume (manager)'),
    search.DETACH: ('attachment_delete', 'detach_volume (manager)'),
    search.BOOT: ('build instance',),
}
#: The last one of which a log is there, by the service whose log is not.
_LAST_WITHOUT = {
    (search.ATTACH, 'cinder-api'): 'attach_volume',
    (search.DETACH, 'cinder-api'): 'detach_volume',
    (search.BOOT, 'nova-compute'): 'attachment_complete',
}
_SERVER = re.compile(rf'\[instance: {record.UUID.pattern}\] ')
#: What else attaches and detaches volumes: its name, what Nova's manager logs
#: about it, and the steps that end it: none if nothing is logged at its end.
_OTHERS = (
    ('a live migration', re.compile(
        r'Took [0-9.]{1,20} seconds for pre_live_migration'
        r'|_post_live_migration\(\) is started'
        r'|(?:Pre|Post) live migration (?:at destination \S+ )?failed'
        r'|Post operation of migration started'), ('post_live_migration',)),
    ('a swap of volumes', re.compile(r'Swapping volume '),
     ('attachment_complete',)),
    ('a rebuild', re.compile(r'Rebuilding instance$'), ('rebuild instance',)),
    ('an evacuation', re.compile(r'Evacuating instance$'),
     ('rebuild instance',)),
    ('an unshelve', re.compile(r'Unshelving$'), ('unshelve instance',)),
    ('a resize or cold migration', re.compile(
        r'Migrating$|(?:Confirming|Reverting) resize '), ()),
    ('a reboot', re.compile(r'Rebooting instance$'), ()),
    ('a shelving', re.compile(r'Shelv(?:ing|e offloading)$'), ()),
)


def is_missing(flow: search.Flow, records: Sequence[record.Record],
               found: Sequence[steps.Step],
               begun: Collection[steps.Step]) -> bool:
    """Tell whether no line shows that a request came to its end.

    :param flow: the request.
    :param records: of it.
    :param found: its steps.
    :param begun: those of them that :func:`unended` returns.
    """
    if begun:
        return True
    its = other(records)
    if not (its[1] if its else _is_due(flow, records, found)):
        return False
    return _is_incomplete(
        flow, _names(flow.kind, records), found) or not ended(
            flow.kind, records, found)


def _is_incomplete(flow: search.Flow, last: Collection[str],
                   found: Sequence[steps.Step]) -> bool:
    """Tell whether a boot has attachments that were not completed.

    That matters only where no log of nova-compute shows the end of it.
    """
    if flow.kind != search.BOOT or 'attachment_complete' not in last:
        return False
    count = collections.Counter(
        s.name for s in found if s.outcome == steps.OK)
    return count['attachment_create'] - count['attachment_delete'] > (
        count['attachment_complete'])


def other(records: Iterable[record.Record]
          ) -> tuple[str, tuple[str, ...]] | None:
    """Return what else than attach, detach or boot a request is.

    :returns: its name, and the steps that end it.
    """
    said = [_SERVER.sub('', r.text) for r in records
            if r.logger == 'nova.compute.manager']
    return next(((name, last) for name, shown, last in _OTHERS
                 if any(shown.match(text) for text in said)), None)


def ended(kind: str, records: Iterable[record.Record],
          found: Iterable[steps.Step]) -> list[steps.Step]:
    """Return the last steps of a request that have ended, and not failed.

    :param kind: what it does.
    :param records: of it.
    :param found: its steps.
    """
    last = _names(kind, records)
    return [s for s in found if s.name in last
            and s.outcome != steps.FAILED and not s.is_open]


def _names(kind: str, records: Iterable[record.Record]) -> set[str]:
    """Return the names of the steps that end a request."""
    if its := other(records):
        return {*its[1]}
    logged = {r.source.service for r in records}
    return {*_LAST.get(kind, ()), *(
        name for (its_kind, service), name in _LAST_WITHOUT.items()
        if its_kind == kind and service not in logged)}


def unended(kind: str, records: Sequence[record.Record],
            found: Sequence[steps.Step], offsets: Iterable[clocks.Offset]
            ) -> list[steps.Step]:
    """Return the steps that keep a request from its end: none has an end.

    A last step that ended well after one has begun shows that it was tried
    again, as when its service was killed. Within a last step that has begun,
    another one is not yet its end.

    :param kind: what the request does.
    :param records: of it.
    :param found: its steps.
    :param offsets: the clocks that differ.
    """
    begun = [s for s in found if s.is_open and not _looks_up(s)]
    if not begun:
        return []
    ends, done = _names(kind, records), ended(kind, records, found)
    return [s for s in begun if not any(
        d.end + (ahead := clocks.ahead(
            s.source.name, d.source.name, offsets)) > s.start
        and (s.name not in ends or s.name == d.name
             or d.start + ahead <= s.start) for d in done)]


def last(found: Collection[steps.Step],
         begun: Collection[steps.Step]) -> steps.Step | None:
    """Return the last step: one that has no end, or the one that ended last.

    :param found: the steps of a request.
    :param begun: those that keep it from its end.
    """
    if begun:
        return max(begun, key=lambda s: s.start)
    return max((s for s in found if not s.is_open),
               key=lambda s: s.end, default=None)


def _looks_up(step: steps.Step) -> bool:
    """Tell whether a step changes nothing."""
    return step.name.lower().startswith('get ')


def _is_due(flow: search.Flow, records: Sequence[record.Record],
            found: Sequence[steps.Step]) -> bool:
    """Tell whether the lines of a request have to show its end."""
    if flow.kind == search.OTHER:
        return False
    if flow.kind == search.BOOT:
        return True
    if any(s.name in _ASKED[flow.kind] for s in found) or any(
            r.logger.startswith('nova.') and _SAID[flow.kind].search(r.text)
            for r in records):
        return True
    return flow.kind == search.ATTACH and any(
        s.name in _CALLED and s.request_id != flow.key
        for s in found) and not any(
            r.source.service.startswith('nova-') for r in records)

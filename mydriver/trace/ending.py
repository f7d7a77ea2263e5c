# SPDX-License-Identifier: Apache-2.0
"""Whether a request came to its end, as far as its lines show."""

from collections.abc import Collection, Sequence
import re

from mydriver.trace import record, search, steps

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


def is_missing(flow: search.Flow, records: Sequence[record.Record],
               found: Sequence[steps.Step]) -> bool:
    """Tell whether no line shows that a request came to its end.

    :param flow: the request.
    :param records: of it.
    :param found: its steps.
    """
    if any(s.is_open and not _looks_up(s) for s in found):
        return True
    if not _is_due(flow, records, found):
        return False
    logged = {r.source.service for r in records}
    last = {*_LAST[flow.kind], *(
        name for (kind, service), name in _LAST_WITHOUT.items()
        if kind == flow.kind and service not in logged)}
    return not any(s.name in last and s.outcome != steps.FAILED
                   and not s.is_open for s in found)


def last(found: Collection[steps.Step]) -> steps.Step | None:
    """Return the last step: one that has no end, or the one that ended last.

    :param found: the steps of a request.
    """
    if begun := [s for s in found if s.is_open and not _looks_up(s)]:
        return max(begun, key=lambda s: s.start)
    return max(found, key=lambda s: s.end, default=None)


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

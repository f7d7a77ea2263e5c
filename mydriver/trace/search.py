# SPDX-License-Identifier: Apache-2.0
"""Find the requests that concern a server or volume; collect one of them."""

from collections.abc import Iterable
import dataclasses
import re

from mydriver import exception
from mydriver.trace import copies, logs, patterns, record

#: What a request may do, most telling first.
BOOT, ATTACH, DETACH, OTHER = 'boot', 'attach', 'detach', 'other'

#: Most records of one request, and most requests that are remembered.
RECORDS_MAX = 50_000
FLOWS_MAX = 100_000
#: Most identifiers that lines are searched for.
_IDS_MAX, _VOLUMES_MAX = 50, 20

#: Cinder removes the export of a volume that it deletes as well, and always
#: terminates the connection before it does so for a detach.
_EVENTS = {
    'attach_volume': ATTACH, 'connect_volume': ATTACH,
    'initialize_connection': ATTACH,
    'detach_volume': DETACH, 'disconnect_volume': DETACH,
    'terminate_connection': DETACH,
}
#: The first part of an attach, if Nova asks for it; cinder-volume does the
#: same on its own for all volumes when it starts.
_EXPORT = 'create_export'
_EXPORTED = 'Exported volume '
_TEXTS = tuple((re.compile(text), kind) for text, kind in (
    (r'Booting with (volume|blank volume)', BOOT),
    (r'"POST /v2(\.1)?(/\w+)?/servers" ', BOOT),
    (r'Attaching volume |Mapped volume |Attached volume ', ATTACH),
    (r'"POST /v2(\.1)?(/\w+)?/servers/[\w-]+/os-volume_attachments', ATTACH),
    (r'do_attach_volume"|do_reserve"|"initialize_connection"', ATTACH),
    (r'attachment_update completed|Connection info returned from driver',
     ATTACH),
    (r'Detaching volume|Unmapped volume |Detached volume ', DETACH),
    (r'driver detach volume', DETACH),
    (r'"DELETE /v2(\.1)?(/\w+)?/servers/[\w-]+/os-volume_attachments',
     DETACH),
    (r'do_detach_volume"|"terminate_connection"', DETACH),
))

_VOLUMES = re.compile(
    r'(?:volumes?(?:_id)?[ /]|volume_uuid\W+|volume_id\W+|cinder-mydriver-)'
    rf'({record.UUID.pattern})', re.IGNORECASE)


@dataclasses.dataclass(slots=True)
class Flow:
    """A request, with all requests that it caused.

    :param key: the request that all began with.
    :param ids: all of their identifiers.
    :param first: time of its first known line, seconds.
    :param last: of its last one.
    :param kinds: what lines show that it does.
    :param volumes: UUIDs of the volumes that lines name.
    """

    key: str
    ids: set[str]
    first: float
    last: float
    kinds: set[str] = dataclasses.field(default_factory=set)
    volumes: set[str] = dataclasses.field(default_factory=set)

    @property
    def kind(self) -> str:
        """What it does: one of :data:`BOOT` and so on."""
        # A failed attach ends with a detach.
        return next((k for k in (BOOT, ATTACH, DETACH) if k in self.kinds),
                    OTHER)


def kind_of(found: record.Record) -> str:
    """Return what a line shows that its request does; empty if nothing."""
    event = found.event
    if (event.operation == _EXPORT if event
            else found.text.startswith(_EXPORTED)):
        return ATTACH if found.global_id else ''
    if event:
        return _EVENTS.get(event.operation, '')
    return next((kind for pattern, kind in _TEXTS
                 if pattern.search(found.text)), '')


def flows(found: Iterable[record.Record]) -> list[Flow]:
    """Return the requests that records belong to, in the order of time."""
    known: dict[str, Flow] = {}
    for one in found:
        if not one.flow:
            continue
        flow = known.get(one.flow)
        if flow is None:
            if len(known) >= FLOWS_MAX:
                continue
            flow = known[one.flow] = Flow(
                one.flow, {one.flow}, one.time, one.time)
        if one.request_id:
            flow.ids.add(one.request_id)
        flow.first = min(flow.first, one.time - _took(one))
        flow.last = max(flow.last, one.time)
        if kind := kind_of(one):
            flow.kinds.add(kind)
        if len(flow.volumes) < _VOLUMES_MAX:
            flow.volumes.update(v.lower() for v in _VOLUMES.findall(one.text))
    return sorted(known.values(), key=lambda f: f.first)


def _took(one: record.Record) -> float:
    """Return how long before a line its request began, if it says so."""
    matched = one.logger.endswith('requestlog') and (
        patterns.NOVA_API.search(one.text))
    return patterns.number(matched[4]) if matched else 0.0


def check(subject: str) -> str:
    """Return what to search for.

    :param subject: ``req-UUID``, or the UUID of a server or volume.
    :raises ConfigurationError: if it is neither.
    """
    subject = subject.strip().lower()
    if record.REQUEST.fullmatch(subject) or record.UUID.fullmatch(subject):
        return subject
    raise exception.ConfigurationError(
        'REQUEST_ID|SERVER|VOLUME',
        f'{exception.shown(subject)} is neither a request id nor a UUID',
        'Name a request (req-...), or the UUID of a server or volume as '
        '"openstack server list" and "openstack volume list" show it.')


def choose(known: list[Flow], subject: str, kind: str = '',
           problems: Iterable[object] = ()) -> Flow:
    """Return the flow to show: the last one of a kind, else the last one.

    :param kind: what it has to do; by default any attach, detach or boot.
    :param problems: sentences about logs that could not be read.
    :raises ConfigurationError: if there is none.
    """
    fitting = [f for f in known if f.kind == kind] if kind else (
        [f for f in known if f.kind != OTHER] or known)
    if not fitting:
        what = f'{kind} of {subject}' if kind else subject
        raise exception.ConfigurationError(
            'REQUEST_ID|SERVER|VOLUME',
            '; '.join((f'no line of the logs belongs to a request for {what}',
                       *map(str, problems))),
            'Check the identifier, and name with --log the logs of nova-api, '
            'nova-compute, cinder-api and cinder-volume, also rotated ones.')
    return fitting[-1]


def collect(its_logs: logs.Logs, flow: Flow
            ) -> tuple[list[record.Record], bool]:
    """Return the records of a flow in the order of their times.

    Lines without a request count if they name a volume of it while it runs.
    A line that copies of a log have counts once.

    :returns: the records, and whether there were too many.
    """
    kept: list[record.Record] = []
    loose: list[record.Record] = []
    cut = False
    # Lines with another request of it have its key as well.
    ids = [flow.key, *sorted(flow.ids - {flow.key})[:_IDS_MAX]]
    volumes = sorted(flow.volumes)[:_VOLUMES_MAX]
    once = copies.Once(2 * RECORDS_MAX)
    for found in its_logs.by_file([*ids, *volumes]):
        for one in once.of_file(r for r in found if _names(r, flow) or (
                not r.request_id and any(
                    v in r.text.lower() for v in volumes))):
            into = kept if _names(one, flow) else loose
            if len(into) < RECORDS_MAX:
                into.append(one)
            else:
                cut = cut or into is kept
    if kept:
        first, last = (f(r.time for r in kept) for f in (min, max))
        kept += [r for r in loose if first <= r.time <= last]
    kept.sort(key=lambda r: (r.time, r.source.name, r.order))
    return kept, cut


def _names(one: record.Record, flow: Flow) -> bool:
    return one.request_id in flow.ids or one.global_id in flow.ids

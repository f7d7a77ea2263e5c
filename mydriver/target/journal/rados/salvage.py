# SPDX-License-Identifier: Apache-2.0
"""Replace the damaged object of a target by a new one.

Of a damaged object nothing is trusted but which LUNs initiators may have
devices for: one that is held back without need is merely not handed out.
"""

from collections.abc import Iterator, Mapping
import dataclasses
import json
import re
import secrets
import uuid

from mydriver import model
from mydriver.ceph import omap
from mydriver.target.journal import luns, values
from mydriver.target.journal.rados import (
    errors,
    keys,
    objects,
    record,
    records,
    views,
)

_NOBODY = str(uuid.UUID(int=0))


def content(store: objects.Store, name: str) -> dict[str, str]:
    """Return everything in an object, valid or not.

    :returns: nothing when there is no such object.
    """
    found: dict[str, str] = {}
    after = None
    while after != (after := max(found, default='')):
        with errors.translated(store.path(name)):
            page = store.objects.read(name, ranges=[omap.Range('', after)])
        found.update(page.values if page else {})
    return found


def keep(store: objects.Store, name: str, everything: Mapping[str, str]
         ) -> None:
    """Copy what was in an object to another one, which must not exist."""
    rows = list(everything.items())
    with errors.translated(store.path(name)):
        store.objects.write(name, {}, new=True)
        for start in range(0, len(rows), omap.MOST_KEYS):
            store.objects.write(
                name, dict(rows[start:start + omap.MOST_KEYS]))


def header_of(everything: Mapping[str, str], registry: str
              ) -> records.Header:
    """Return the header of a new object in place of a damaged one.

    Its generations go on from those of the damaged one, as far as these are
    known: gateways remember them.
    """
    try:
        last = records.Header.parse(
            keys.HEADER, everything.get(keys.HEADER, '')).generation
    except values.Damaged:
        last = 0
    return records.Header(secrets.token_hex(16), registry,
                          generation=last + keys.LOG_LENGTH + 1)


def replacement(everything: Mapping[str, str], header: records.Header,
                now: int) -> dict[str, str]:
    """Return the content of a new object, with no exports.

    :param everything: in the damaged one.
    :param header: with the ids of the new one.
    :param now: seconds since the epoch.
    """
    put: dict[str, record.Record] = {keys.APPLIED: _applied(everything)}
    held: dict[model.Iqn, set[int]] = {}
    for initiator, lun in _held(everything):
        held.setdefault(initiator, set()).add(lun)
    for initiator, its in held.items():
        for lun in its:
            put[keys.quarantined(initiator, now, lun)] = records.Volume(
                _NOBODY)
        put[keys.counter(initiator)] = records.Counter(max(its) + 1)
    texts = {key: value.text(key) for key, value in put.items()}
    return {**texts, keys.HEADER: _sealed(header, texts).text(keys.HEADER)}


def _applied(everything: Mapping[str, str]) -> records.Applied:
    """Return the owner so far, whom no earlier one may replace."""
    try:
        return dataclasses.replace(records.Applied.parse(
            keys.APPLIED, everything.get(keys.APPLIED, '')), generation=0)
    except values.Damaged:
        return records.Applied()


def _sealed(header: records.Header, texts: Mapping[str, str]
            ) -> records.Header:
    seal = 0
    counters = [key for key in texts if key.startswith(keys.COUNTERS)]
    for key in counters:
        seal ^= views.digest(header.id, key, texts[key])
    return dataclasses.replace(header, counters=len(counters),
                               seal=f'{seal:016x}')


def _held(everything: Mapping[str, str]) -> Iterator[tuple[model.Iqn, int]]:
    """Return the LUNs that an object mentions, by any kind of key."""
    for key, text in everything.items():
        kind, *rest = key.split('/')
        lun: object = None
        if kind == 'lun' and len(rest) == 2:
            lun = _number(rest[1])
        elif kind == 'quarantine' and len(rest) == 3:
            lun = _number(rest[2])
        elif kind == 'mapping' and len(rest) == 2:
            rest, lun = rest[1:], _field(text, 'lun')
        elif kind == 'counter' and len(rest) == 1:
            following = _field(text, 'next')
            lun = following - 1 if isinstance(following, int) else None
        if isinstance(lun, int) and values.is_iqn(rest[0]) and (
                luns.FIRST_LUN <= lun <= luns.LAST_LUN):
            yield model.Iqn(rest[0]), lun


def _number(text: str) -> int | None:
    return int(text) if re.fullmatch('[0-9]{5}', text) else None


def _field(text: str, name: str) -> object:
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return found.get(name) if isinstance(found, dict) else None

# SPDX-License-Identifier: Apache-2.0
"""The allocation of LUNs, within the changes of a target's object.

The same numbers as those of :mod:`mydriver.target.journal.luns`, without
reading all that are in use.
"""

import dataclasses

from mydriver import exception, model
from mydriver.ceph import omap
from mydriver.target.journal import luns
from mydriver.target.journal.rados import keys, records, views


def ranges_of_tpg() -> list[omap.Range]:
    """Return what :func:`free_of_tpg` needs to have been read."""
    return [omap.Range(keys.FREE, limit=1)]


def free_of_tpg(change: views.Change, target: model.Iqn) -> int:
    """Take the lowest free LUN of a target's TPG.

    :raises LunsExhausted: when there is none.
    """
    key, lun = next(change.below(keys.FREE), ('', ''))
    if key:
        change.remove(key)
        return _number(change, key, lun)
    number = change.header.next_lun
    if number > luns.LAST_TPG_LUN:
        number = _unused_of_tpg(change, target)
    else:
        change.header = dataclasses.replace(
            change.header, next_lun=number + 1)
    return number


def take_of_tpg(change: views.Change, lun: int, volume_id: str) -> None:
    """Record the volume of a LUN of the TPG, which must be free."""
    key = keys.tpg_lun(lun)
    change.put(key, records.Volume(volume_id))
    change.absent.add(key)
    if lun >= change.header.next_lun:
        # Those in between are found again when there are no others.
        change.header = dataclasses.replace(change.header, next_lun=lun + 1)
    else:
        change.remove(keys.free(lun))


def release_of_tpg(change: views.Change, lun: int) -> None:
    """Record that a LUN of the TPG is free."""
    change.remove(keys.tpg_lun(lun))
    if lun == change.header.next_lun - 1:
        change.header = dataclasses.replace(change.header, next_lun=lun)
    else:
        change.put(keys.free(lun), records.Free())


def _unused_of_tpg(change: views.Change, target: model.Iqn) -> int:
    """Return a LUN that a gap left behind."""
    change.more(ranges=[omap.Range(keys.TPG_LUNS)])
    used = {_number(change, key, rest)
            for key, rest in change.below(keys.TPG_LUNS)}
    free = set(range(luns.LAST_TPG_LUN + 1)) - used
    if not free:
        raise exception.LunsExhausted(str(target), luns.LAST_TPG_LUN + 1)
    return min(free)


def keys_of(initiator: model.Iqn) -> list[str]:
    """Return what :func:`take` and :func:`release` need to have been read."""
    return [keys.counter(initiator)]


def ranges_of(initiator: model.Iqn) -> list[omap.Range]:
    """Return what :func:`take` and :func:`release` need to have been read."""
    return [omap.Range(keys.quarantine(initiator), limit=1),
            omap.Range(keys.luns(initiator), limit=2)]


def take(change: views.Change, initiator: model.Iqn, target: model.Iqn,
         volume_id: str, now: int) -> int:
    """Take the next LUN of an initiator; see :func:`..luns.take`.

    :param now: seconds since the epoch.
    :raises LunsExhausted: when there is none.
    """
    lun = _next(change, initiator)
    if lun <= luns.LAST_LUN:
        change.put(keys.counter(initiator), records.Counter(lun + 1))
    else:
        lun = _oldest(change, initiator, target, now)
    _occupy(change, initiator, lun, volume_id)
    return lun


def adopt(change: views.Change, initiator: model.Iqn, lun: int,
          volume_id: str) -> None:
    """Take a certain LUN of an initiator, from the quarantine if need be."""
    prefix = keys.quarantine(initiator)
    following = _next(change, initiator)
    if lun < following:
        change.more(ranges=[omap.Range(prefix)])
        for key, _ in list(change.below(prefix)):
            if _released(change, key)[1] == lun:
                change.remove(key)
    else:
        change.put(keys.counter(initiator), records.Counter(lun + 1))
    _occupy(change, initiator, lun, volume_id)


def release(change: views.Change, initiator: model.Iqn, lun: int,
            volume_id: str, now: int, *, quarantine: bool) -> bool:
    """Release a LUN of an initiator.

    :param now: seconds since the epoch.
    :param quarantine: hold it back.
    :returns: whether the initiator has no other LUN.
    """
    own = keys.lun(initiator, lun)
    others = {key for key, _ in change.below(keys.luns(initiator))} - {own}
    change.remove(own)
    if not quarantine and lun == _next(change, initiator) - 1:
        if lun == luns.FIRST_LUN:
            change.remove(keys.counter(initiator))
        else:
            change.put(keys.counter(initiator), records.Counter(lun))
    else:
        change.put(keys.quarantined(
            initiator, now if quarantine else 0, lun),
            records.Volume(volume_id))
    return not others


def _next(change: views.Change, initiator: model.Iqn) -> int:
    counter = change.load(keys.counter(initiator), records.Counter)
    if counter is None:
        if any(change.below(keys.luns(initiator))) or any(
                change.below(keys.quarantine(initiator))):
            raise change.damaged(keys.counter(initiator),
                                 'it is missing, although LUNs were in use')
        return luns.FIRST_LUN
    return counter.next


def _oldest(change: views.Change, initiator: model.Iqn, target: model.Iqn,
            now: int) -> int:
    """Take the LUN that was released first, if that is long ago."""
    for key, _ in change.below(keys.quarantine(initiator)):
        released_at, lun = _released(change, key)
        if released_at <= now - luns.QUARANTINE_S:
            change.remove(key)
            return lun
        break
    raise exception.LunsExhausted(
        f'initiator {initiator} at {target}', luns.LAST_LUN)


def _occupy(change: views.Change, initiator: model.Iqn, lun: int,
            volume_id: str) -> None:
    key = keys.lun(initiator, lun)
    change.put(key, records.Volume(volume_id))
    change.absent.add(key)


def _released(change: views.Change, key: str) -> tuple[int, int]:
    try:
        return keys.when_and_lun(key)
    except ValueError as e:
        raise change.damaged(key, str(e)) from e


def _number(change: views.Change, key: str, text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) == 5):
        raise change.damaged(key, 'it does not end with a LUN')
    return int(text)

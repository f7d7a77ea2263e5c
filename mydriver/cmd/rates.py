# SPDX-License-Identifier: Apache-2.0
"""How much exports do per second: from two looks at the kernel's counters."""

from collections.abc import Callable, Mapping, Sequence
import dataclasses

from mydriver.target import statistics

#: Backend and volume.
Key = tuple[str, str]


@dataclasses.dataclass(frozen=True, slots=True)
class Sample:
    """The counters at a moment.

    :param at_s: the time, of any steady clock.
    :param exports: the exports of this host.
    :param sessions: how many sessions its targets have.
    """

    at_s: float
    exports: Mapping[Key, statistics.ExportIo]
    sessions: int


@dataclasses.dataclass(frozen=True, slots=True)
class Rate:
    """What an export has done; None for what is not known.

    :param commands: per second.
    :param read: bytes per second.
    :param written: bytes per second.
    :param queue: requests to its device that are not complete.
    """

    backend: str
    volume_id: str
    commands: float | None
    read: float | None
    written: float | None
    queue: int | None

    @property
    def moved(self) -> float:
        """Bytes per second in both directions."""
        return (self.read or 0) + (self.written or 0)


#: What a list of rates can be sorted by.
ORDERS: dict[str, Callable[[Rate], tuple[float | str, ...]]] = {
    'bytes': lambda r: (-r.moved, -(r.commands or 0)),
    'commands': lambda r: (-(r.commands or 0),),
    'queue': lambda r: (-(r.queue or 0), -r.moved),
    'read': lambda r: (-(r.read or 0),),
    'volume': lambda r: (r.volume_id,),
    'written': lambda r: (-(r.written or 0),),
}


def between(before: Sample, after: Sample) -> list[Rate]:
    """Return the rates of the exports that are there at the end.

    Those that were made meanwhile, or made anew, have no rates yet.
    """
    spent_s = after.at_s - before.at_s
    found = []
    for key, now in after.exports.items():
        then = before.exports.get(key)
        commands = read = written = None
        if then is not None and then.device == now.device and spent_s > 0:
            old, new = _data(then, now)
            commands = _rate(then.io.commands, now.io.commands, spent_s)
            read = _rate(old[0], new[0], spent_s)
            written = _rate(old[1], new[1], spent_s)
        found.append(Rate(*key, commands, read, written,
                          now.disk.in_flight if now.disk else None))
    return found


def ordered(rates: Sequence[Rate], order: str) -> list[Rate]:
    """Return rates in one of the :data:`ORDERS`, then by volume."""
    return sorted(rates, key=lambda r: (*ORDERS[order](r), r.volume_id))


def _data(then: statistics.ExportIo, now: statistics.ExportIo) -> tuple[
        tuple[int | None, int | None], tuple[int | None, int | None]]:
    """Return the counters to compare: those of the device, if there is one.

    They are exact; LIO's are in whole MiB.
    """
    if then.disk and now.disk:
        return ((then.disk.read_bytes, then.disk.written_bytes),
                (now.disk.read_bytes, now.disk.written_bytes))
    return ((then.io.read_bytes, then.io.written_bytes),
            (now.io.read_bytes, now.io.written_bytes))


def _rate(then: int | None, now: int | None, spent_s: float) -> float | None:
    if then is None or now is None or now < then:
        return None
    return (now - then) / spent_s

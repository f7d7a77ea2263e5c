# SPDX-License-Identifier: Apache-2.0
"""The gateways of a backend, and which of them shall serve which target."""

from collections.abc import Collection, Iterable, Mapping, Sequence
import dataclasses
import hashlib
import json
import math
import time
from typing import Self

from mydriver import exception, model

#: A gateway is taken to be alive as long as its counter keeps changing,
#: seconds. It is shorter than the shortest lease: by the time that the lease
#: of a dead gateway ends, it is known who shall have its targets.
ALIVE_S = 2.5

#: How long the gateway that shall have a target has to be alive, and in reach
#: of initiators, before its owner hands the target over, seconds.
SETTLED_S = 10.0


@dataclasses.dataclass(frozen=True, slots=True)
class Member:
    """What a gateway says about itself.

    :param name: its name.
    :param run: unique name of the run of its process.
    :param beat: rises as long as it is alive.
    :param is_draining: it shall serve nothing.
    :param serves: the targets that it serves.
    :param peers: the peers of its connections, by address.
    :param is_cut_off: it reaches none of its witnesses.
    """

    name: str
    run: str
    beat: int
    is_draining: bool = False
    serves: tuple[str, ...] = ()
    peers: Mapping[str, tuple[str, ...]] = dataclasses.field(
        default_factory=dict)
    is_cut_off: bool = False

    def text(self) -> str:
        """Return the stored form."""
        return json.dumps(dataclasses.asdict(self), separators=(',', ':'))

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read the stored form.

        :raises ValueError: when it is not valid.
        """
        found = json.loads(text)
        if (not isinstance(found, dict) or found.keys() != {
                f.name for f in dataclasses.fields(cls)}
                or not isinstance(found['name'], str)
                or not isinstance(found['run'], str)
                or type(found['beat']) is not int
                or not isinstance(found['is_draining'], bool)
                or not isinstance(found['is_cut_off'], bool)
                or not isinstance(found['serves'], list)
                or not all(isinstance(s, str) for s in found['serves'])
                or not isinstance(found['peers'], dict)
                or not all(isinstance(p, list) and all(
                    isinstance(s, str) for s in p)
                    for p in found['peers'].values())):
            raise ValueError(f'{exception.shown(text)} is not what a gateway '
                             'says about itself')
        return cls(found['name'], found['run'], found['beat'],
                   found['is_draining'], tuple(found['serves']),
                   {a: tuple(p) for a, p in found['peers'].items()},
                   found['is_cut_off'])


class Watch:
    """Tells which gateways are alive, by this host's own clock.

    Clocks of hosts are not compared: a gateway is alive while what it says
    keeps changing.
    """

    def __init__(self) -> None:
        self._seen: dict[str, tuple[str, int, float, float]] = {}

    def see(self, members: Iterable[Member], now_s: float | None = None
            ) -> dict[str, float]:
        """Note what gateways say about themselves.

        :param now_s: the time, any steady clock.
        :returns: the gateways that are alive, and for how long that has been
            so.
        """
        now_s = time.monotonic() if now_s is None else now_s
        alive = {}
        for one in members:
            run, beat, changed_s, since_s = self._seen.get(
                one.name, ('', -1, -math.inf, now_s))
            if (one.run, one.beat) != (run, beat):
                if now_s - changed_s > ALIVE_S:
                    since_s = now_s
                changed_s = now_s
                self._seen[one.name] = (one.run, one.beat,
                                        changed_s, since_s)
            if now_s - changed_s <= ALIVE_S:
                alive[one.name] = now_s - since_s
        return alive


def assign(targets: Sequence[model.Iqn], gateways: Collection[str]
           ) -> dict[model.Iqn, str]:
    """Return which gateway shall serve which target.

    All who ask get the same answer. No gateway gets more than its share, and
    when one comes or goes, few other targets move.

    :param gateways: those that are alive and not draining.
    """
    if not gateways:
        return {}
    share = math.ceil(len(targets) / len(gateways))
    load = dict.fromkeys(gateways, 0)
    found = {}
    for target in sorted(targets):
        free = [g for g in gateways if load[g] < share]
        found[target] = max(free, key=lambda g: _rank(g, target))
        load[found[target]] += 1
    return found


def _rank(gateway: str, target: model.Iqn) -> bytes:
    return hashlib.sha256(f'{gateway}\0{target}'.encode()).digest()

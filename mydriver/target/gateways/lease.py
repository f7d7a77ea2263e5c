# SPDX-License-Identifier: Apache-2.0
"""The lease on a target: what a gateway may rely on, and for how long.

Ceph's lock class (cls_lock) keeps the lease. An OSD ends it by its own clock.
The gateway counts from before it sent the request, so that a slow answer makes
its time shorter and never longer.

The lease decides who takes a target over, and when an owner has to be silent.
No written block depends on it: clocks may be wrong. For that there is the
fence.
"""

import dataclasses
import time
from typing import Protocol, Self

from mydriver.target.gateways.record import OwnershipRecord


def now_s() -> float:
    """Return the seconds that a lease is counted in.

    They go on while the host is suspended (CLOCK_BOOTTIME). While the virtual
    machine that is the host is stopped from outside, no clock of its own goes
    on.
    """
    return time.clock_gettime(time.CLOCK_BOOTTIME)


@dataclasses.dataclass(frozen=True, slots=True)
class Timing:
    """Times of a lease, seconds.

    :param duration_s: how long Ceph keeps a lease that is not renewed.
    :param margin_s: by how much earlier the owner stops relying on it. The
        kernel counts an address's lifetime in whole seconds.
    :param renew_s: pause between two renewals.
    :raises ValueError: when the owner could not renew in time.
    """

    duration_s: float = 6.0
    margin_s: float = 1.0
    renew_s: float = 1.0

    def __post_init__(self) -> None:
        if not 0 < self.renew_s < self.duration_s - self.margin_s:
            raise ValueError('a lease has to be renewed before it ends')
        if self.margin_s <= 0:
            raise ValueError('a lease needs a margin')


@dataclasses.dataclass(frozen=True, slots=True)
class Term:
    """A lease as its holder knows it.

    :param cookie: names this lease; no two are the same, so that a request of
        an earlier one that arrives late is refused.
    :param valid_until_s: see :func:`now_s`; from then on it counts as lost.
    """

    cookie: str
    valid_until_s: float

    @classmethod
    def granted(cls, cookie: str, sent_s: float, timing: Timing) -> Self:
        """Return the lease that Ceph has confirmed.

        :param sent_s: when the request was sent, not when the answer came.
        """
        return cls(cookie, sent_s + timing.duration_s - timing.margin_s)

    def renewed(self, sent_s: float, timing: Timing) -> Self:
        """Return it after a renewal that was confirmed.

        :param sent_s: when the renewal was sent.
        """
        later = self.granted(self.cookie, sent_s, timing)
        return max(self, later, key=lambda term: term.valid_until_s)

    def lost(self) -> Self:
        """Return it after Ceph has refused to renew it."""
        return dataclasses.replace(self, valid_until_s=float('-inf'))


@dataclasses.dataclass(frozen=True, slots=True)
class Found:
    """A record as it is stored.

    :param record: what it says.
    :param stored: the stored form, with which a change is guarded.
    """

    record: OwnershipRecord
    stored: str

    @classmethod
    def of(cls, its: OwnershipRecord) -> Self:
        """Return a record as it is going to be stored."""
        return cls(its, its.dump())


class Ownership(Protocol):
    """The lease and the record of one target; all of it in one RADOS object.

    An error says nothing about whether a request was carried out or will be.
    """

    def create(self) -> None:
        """Make the record of a new target, unless there is one.

        :raises CephError: when Ceph does not answer.
        """

    def acquire(self, cookie: str, duration_s: float) -> bool:
        """Ask for the lease.

        :returns: False when somebody has it, also under the same cookie.
        :raises CephError: when Ceph does not answer.
        """

    def renew(self, cookie: str, duration_s: float) -> bool:
        """Extend the lease. One that has ended is not revived.

        :returns: False when the lease is not, or no longer, that of the
            cookie.
        :raises CephError: when Ceph does not answer.
        """

    def release(self, cookie: str) -> None:
        """End the lease, if it is that of the cookie.

        :raises CephError: when Ceph does not answer.
        """

    def read(self) -> Found:
        """Return the record.

        :raises OwnershipDamaged: when there is none, or it is damaged.
        :raises CephError: when Ceph does not answer.
        """

    def write(self, cookie: str, its: OwnershipRecord,
              replaced: Found) -> bool:
        """Write the record, if the lease is held and it has not changed.

        Both are checked where it is written, in the same atomic operation.

        :param cookie: of the lease.
        :param its: the new record.
        :param replaced: the one that it replaces.
        :returns: False when the lease is not that of the cookie, or the record
            is another one.
        :raises CephError: when Ceph does not answer.
        """

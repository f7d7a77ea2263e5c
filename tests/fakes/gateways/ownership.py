# SPDX-License-Identifier: Apache-2.0
"""The lease and the record of a target in memory, with a simulated clock."""

import dataclasses

from mydriver import exception
from mydriver.target.gateways.lease import Found
from mydriver.target.gateways.record import OwnershipRecord


class Clock:
    """A time that goes on when it is told to.

    :ivar now_s: seconds since some moment.
    """

    now_s = 1000.0

    def wait(self, seconds: float) -> None:
        """Let time pass."""
        self.now_s += seconds


@dataclasses.dataclass
class Object:
    """What Ceph keeps of a target.

    :param clock: the OSD's.
    :param stored: the record's stored form, None without one.
    :param holder: of the lease: client and cookie.
    :param until_s: when the lease ends.
    :param is_away: Ceph does not answer.
    """

    clock: Clock
    stored: str | None = None
    holder: tuple[int, str] | None = None
    until_s: float = 0.0
    is_away: bool = False


class MemoryOwnership:
    """One client's view of an object; implements ``Ownership``.

    :param target: the target's name.
    :param its: the object, shared by all clients.
    :param client: number of the client; a lease is of a client and a cookie.
    """

    def __init__(self, target: str, its: Object, client: int = 1) -> None:
        self._target = target
        self._its = its
        self._client = client

    def create(self) -> None:
        """Make the record, unless there is an object."""
        its = self._reached('record a new target')
        if its.stored is None:
            its.stored = OwnershipRecord().dump()

    def acquire(self, cookie: str, duration_s: float) -> bool:
        """Take the lease if nobody has it."""
        its = self._reached('grant a lease')
        if its.stored is None:
            raise exception.OwnershipDamaged(self._target, 'there is none')
        if self._holder() is not None:
            return False
        its.holder = self._client, cookie
        its.until_s = its.clock.now_s + duration_s
        return True

    def renew(self, cookie: str, duration_s: float) -> bool:
        """Extend the lease if it is the cookie's."""
        its = self._reached('renew a lease')
        if self._holder() != (self._client, cookie):
            return False
        its.until_s = its.clock.now_s + duration_s
        return True

    def release(self, cookie: str) -> None:
        """End the lease if it is the cookie's."""
        its = self._reached('end a lease')
        if self._holder() == (self._client, cookie):
            its.holder = None

    def read(self) -> Found:
        """Return the record."""
        its = self._reached('read a record')
        if its.stored is None:
            raise exception.OwnershipDamaged(self._target, 'there is none')
        return Found(OwnershipRecord.parse(self._target, its.stored),
                     its.stored)

    def write(self, cookie: str, its: OwnershipRecord, replaced: Found
              ) -> bool:
        """Write the record if the lease is the cookie's."""
        kept = self._reached('write a record')
        if (self._holder() != (self._client, cookie)
                or kept.stored != replaced.stored):
            return False
        kept.stored = its.dump()
        return True

    def _holder(self) -> tuple[int, str] | None:
        its = self._its
        return its.holder if its.clock.now_s < its.until_s else None

    def _reached(self, what: str) -> Object:
        if self._its.is_away:
            raise exception.CephError(what, 'Connection timed out')
        return self._its

# SPDX-License-Identifier: Apache-2.0
"""Errors that an operator has to resolve: settings, rights, room, keys."""

from mydriver.exception import base


class OperatorError(base.MyDriverError):
    """An operator has to change something; retrying alone does not help."""


class ConfigurationError(OperatorError):
    """A setting is wrong; the text names it and the remedy."""

    option: str
    problem: str
    remedy: str
    template = '{option}: {problem}. {remedy}'


class UnsupportedRelease(OperatorError):
    """The release of cinder or nova is one that does not work."""

    project: str
    found: str
    own: str
    supported: str
    template = (
        '{project} {found} is not supported: mydriver {own} works with '
        '{project} {supported}. Install one of these, or a release of '
        'mydriver that supports {project} {found}.')


class IdentityUnknown(ConfigurationError):
    """The record that tells whether a place holds the store is unusable."""


class LaterRecord(ConfigurationError):
    """A record is of a later release, which this one cannot read."""


class NotYetMade(ConfigurationError):
    """A place is missing that cinder-volume makes when it first starts."""


class NoAddress(ConfigurationError):
    """The host has none of the portals' addresses yet."""


class PrivilegedError(OperatorError):
    """The privileged daemon does not start, or does not answer."""

    verb: str
    reason: str
    template = 'The privileged daemon cannot do {verb}: {reason}.'


class TargetDown(OperatorError):
    """A target of the pool accepts no logins at any portal."""

    missing: str
    template = ('The kernel target does not serve {missing}. Check that the '
                'host has the addresses, and run mydriver restore or restart '
                'cinder-volume.')


class ForeignObject(OperatorError):
    """An object of the kernel that is not ours is in the way."""

    what: str
    problem: str
    template = ('{what} exists and is not ours: {problem}. It was left as it '
                'is; remove or rename it by hand.')


class KeyLost(OperatorError):
    """The key that the CHAP secret of a live NodeACL derives from is lost."""

    initiator: str
    target: str
    path: str
    template = ('{initiator} has volumes of {target} with a CHAP secret of an '
                'earlier key, which is missing. Restore that key as {path}, '
                'or detach those volumes first.')


# -- gateways

class OwnershipError(OperatorError):
    """Nobody can tell who serves a target."""

    target: str
    reason: str


class OwnershipDamaged(OwnershipError):
    """The ownership record of a target cannot be trusted."""

    template = (
        'The ownership record of {target} is unusable: {reason}. No gateway '
        'takes this target over, because an earlier owner may still be '
        'writing. Make sure that no gateway has images of it mapped, then '
        'write a record anew.')


class NotFenced(OperatorError):
    """A client that may still write could not be kept from it."""

    clients: str
    reason: str
    template = (
        'The Ceph clients {clients} cannot be fenced: {reason}. Their images '
        'are not taken over. Check the monitors and the capabilities of the '
        "gateways' user (mon 'profile rbd').")


class FenceTooShort(NotFenced):
    """A client is in the blocklist already, but not for long."""

    until: str
    template = (
        'The Ceph clients {clients} are in the blocklist only until {until}: '
        '{reason}. Their images are not taken over before that. To take them '
        "over now, remove the entries (ceph osd blocklist rm); the gateway "
        'enters them anew.')


# -- the journal

class JournalError(OperatorError):
    """The journal cannot be used."""

    path: str
    reason: str


class JournalUnusable(JournalError):
    """The journal cannot be used; the remedy depends on the reason."""

    remedy: str
    template = 'The journal {path} cannot be used: {reason}. {remedy}'


class JournalUnwritable(JournalUnusable):
    """The journal is intact, but its file system cannot be written."""


class JournalDamaged(JournalError):
    """The journal is damaged; nothing in it is trusted."""

    template = (
        'The journal {path} is damaged: {reason}. Start cinder-volume: it '
        'moves the journal aside and rebuilds it from the kernel and from '
        "Cinder's records. If you restored a copy, restore its -wal, -shm "
        'and .mark files with it, or remove those that exist.')


class SharedJournalDamaged(JournalDamaged):
    """An object of a journal in Ceph is damaged or missing."""

    template = (
        'The journal {path} is damaged: {reason}. Nothing was changed, and '
        'what the gateways serve stays in service. See "When an object is '
        'damaged" in the chapter on the journal in Ceph.')


# -- room

class NoRoom(OperatorError):
    """A store has too little room."""

    where: str


class StoreFull(NoRoom):
    """The place of a store has too little free space."""

    needed_bytes: int
    free_bytes: int
    template = ('{where} has {free_bytes} bytes free, {needed_bytes} are '
                'needed. Add space or delete volumes.')


class PoolFull(NoRoom):
    """A thin pool is too full for anything new."""

    part: str
    used_percent: float
    limit_percent: float
    remedy: str
    template = ('The {part} of thin pool {where} is {used_percent} % full; '
                'nothing new is created above {limit_percent} %. {remedy}')


class LunsExhausted(OperatorError):
    """No LUN is free: each is in use or in quarantine."""

    what: str
    limit: int
    template = ('No free LUN for {what}: all {limit} are in use or in '
                'quarantine.')

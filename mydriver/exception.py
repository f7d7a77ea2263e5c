# SPDX-License-Identifier: Apache-2.0
"""The one error tree.

Every error carries its facts as positional arguments and builds its text from
them. Positional only, since oslo.privsep rebuilds an error on the client's
side as ``cls(*args)``; primitives only, since msgpack carries them.
"""

from typing import ClassVar

#: Longest text of one field that an error shows, in characters; of a longer
#: one it shows the beginning and the end.
FIELD_MAX = 1000
_FIELD_END = 200

#: Larger integers are shown by their size: Python refuses to print some.
_INT_MAX_BITS = 128


def shown(value: object, most: int = 100) -> str:
    """Return a value of unknown origin as an error may show it.

    :param value: anything; a text is cut, a container is not looked into.
    :param most: how many characters of a text to keep.
    """
    if isinstance(value, str):
        return _encodable(value if len(value) <= most
                          else f'{value[:most]}... ({len(value)} characters)')
    if value is None or isinstance(value, bool | float):
        return repr(value)
    if isinstance(value, int) and value.bit_length() <= _INT_MAX_BITS:
        return str(value)
    return f'<{type(value).__name__}>'


class MyDriverError(Exception):
    """Base of all errors of ours.

    The text is bounded and can be encoded, whatever the arguments hold: what
    logs or stores it must not fail on a lone surrogate.

    :cvar fields: the names of the positional arguments, in order.
    :cvar template: the text, a ``str.format`` template over ``fields``.
    """

    fields: ClassVar[tuple[str, ...]] = ('reason',)
    template: ClassVar[str] = '{reason}'

    def __init__(self, *args: object) -> None:
        if len(args) != len(self.fields):
            raise TypeError(
                f'{type(self).__name__} takes {", ".join(self.fields)}')
        super().__init__(*args)
        for name, value in zip(self.fields, args, strict=True):
            setattr(self, name, value)

    def __str__(self) -> str:
        return self.template.format(**{
            name: _bounded(value) for name, value in
            zip(self.fields, self.args, strict=True)})


def _encodable(text: str) -> str:
    """Return a text with lone surrogates written out."""
    return text.encode(errors='backslashreplace').decode()


def _bounded(value: object) -> object:
    """Return a field's value as the text takes it: bounded, and encodable."""
    if isinstance(value, str):
        if len(value) > FIELD_MAX:
            value = (f'{value[:FIELD_MAX - _FIELD_END]} ... ({len(value)} '
                     f'characters) ... {value[-_FIELD_END:]}')
        return _encodable(value)
    if isinstance(value, int) and value.bit_length() > _INT_MAX_BITS:
        return f'<{value.bit_length()} bits>'
    return value


class ConfigurationError(MyDriverError):
    """A setting is wrong; the text names it and the remedy."""

    fields = ('option', 'problem', 'remedy')
    template = '{option}: {problem}. {remedy}'


class NoAddress(ConfigurationError):
    """The host has none of the addresses that it is to serve at, yet."""


class InvalidIqn(MyDriverError):
    """A name is not an iSCSI qualified name as the target takes it."""

    fields = ('name', 'problem')
    template = ('Not a valid iSCSI qualified name: {name!r}: {problem}. It '
                'looks like iqn.1993-08.org.debian:01:abc (RFC 7143, 4.2.7).')


class InvalidPortal(MyDriverError):
    """A text is not an iSCSI portal (address and TCP port)."""

    fields = ('text', 'problem')
    template = 'Not a valid iSCSI portal: {text!r}: {problem}.'


class InvalidConnector(MyDriverError):
    """The connector that the compute host sent cannot be served."""

    fields: ClassVar[tuple[str, ...]] = ('problem',)
    template = 'The connector cannot be served: {problem}.'


class NoInitiatorName(InvalidConnector):
    """The compute host has no iSCSI initiator name."""

    fields = ('host',)
    template = ('The connector of host {host} has no initiator name. Install '
                'open-iscsi there and check /etc/iscsi/initiatorname.iscsi.')


class InvalidConnectionData(MyDriverError):
    """``connection_info['data']`` lacks something or contradicts itself."""

    fields = ('problem',)
    template = 'The connection data cannot be used: {problem}.'


class DiscoveryError(MyDriverError):
    """One portal did not answer a SendTargets discovery as it should."""

    fields = ('portal', 'reason')
    template = 'Discovery at {portal} failed: {reason}.'


class DiscoveryChap(DiscoveryError):
    """A portal wants CHAP for discovery, of which Cinder knows nothing."""

    template = ('Portal {portal} asks for CHAP in discovery ({reason}). See '
                'enforce_discovery_auth of its host.')


class TargetNotDiscovered(MyDriverError):
    """No portal shows the target to the initiator."""

    fields = ('target', 'initiator', 'reasons')
    template = ('No portal offers target {target} to initiator {initiator}: '
                '{reasons} Check that the target service is up and that its '
                'portals can be reached from the Cinder host.')


class PrivilegedError(MyDriverError):
    """The privileged daemon cannot do its work."""

    fields = ('verb', 'reason')
    template = 'The privileged daemon cannot do {verb}: {reason}.'


class RequestRefused(MyDriverError):
    """A privileged verb was asked for what it does for nobody."""

    fields = ('what', 'problem')
    template = 'The privileged daemon refuses {what}: {problem}.'


class TargetError(MyDriverError):
    """The kernel target refused what was asked."""

    fields = ('what', 'reason')
    template = 'The kernel target refused to {what}: {reason}.'


class TargetDown(MyDriverError):
    """A target of the pool takes no logins at any portal."""

    fields = ('missing',)
    template = ('The kernel target does not serve {missing}. See that the '
                'addresses are there, and run mydriver restore or restart '
                'cinder-volume.')


class ForeignObject(MyDriverError):
    """An object in configfs is in the way and is not ours."""

    fields = ('what', 'problem')
    template = ('{what} exists and is not ours: {problem}. It was left as it '
                'is; remove or rename it by hand.')


class KeyLost(MyDriverError):
    """The CHAP secret of a live NodeACL comes from a key that is not there."""

    fields = ('initiator', 'target', 'path')
    template = ('{initiator} has volumes of {target} with a CHAP secret of an '
                'earlier key, which is not there. Put that key back as '
                '{path}, or detach those volumes first.')


class TargetInUse(MyDriverError):
    """An export cannot go while initiators still use it."""

    fields = ('volume_id', 'initiators')
    template = ('The export of volume {volume_id} is still mapped to '
                '{initiators}.')


class LunsExhausted(MyDriverError):
    """Every LUN number is taken or in quarantine."""

    fields = ('what', 'limit')
    template = 'No free LUN for {what}: all {limit} are taken.'


class JournalError(MyDriverError):
    """The journal cannot be used; the remedy fits the reason."""

    fields: ClassVar[tuple[str, ...]] = ('path', 'reason', 'remedy')
    template = 'The journal {path} cannot be used: {reason}. {remedy}'


class JournalUnwritable(JournalError):
    """The journal is intact, but nothing can be written where it is."""


class JournalDamaged(JournalError):
    """The journal is damaged; nothing in it is trusted."""

    fields = ('path', 'reason')
    template = (
        'The journal {path} is damaged: {reason}. Start cinder-volume: it '
        'moves the journal aside and rebuilds it from the kernel and from '
        "Cinder's records. If you put back a copy, put back its -wal, -shm "
        'and .mark files with it, or remove those that are there.')


class ExportNotFound(MyDriverError):
    """The journal knows no export of that volume."""

    fields = ('volume_id',)
    template = 'Volume {volume_id} is not exported.'


class StoreError(MyDriverError):
    """A store could not do what was asked."""

    fields = ('what', 'reason')
    template = 'The store could not {what}: {reason}.'


class BackingNotFound(MyDriverError):
    """The backing of a volume or snapshot is not in the store."""

    fields = ('name', 'where')
    template = '{name} is not in {where}.'


class StoreFull(MyDriverError):
    """The store has not enough room."""

    fields: ClassVar[tuple[str, ...]] = (
        'where', 'needed_bytes', 'free_bytes')
    template = ('{where} has {free_bytes} bytes free, {needed_bytes} are '
                'needed. Add space or delete volumes.')


class BlocksDiffer(MyDriverError):
    """Something would be moved to where the block size is another."""

    fields = ('what', 'needed_bytes', 'where', 'shown_bytes')
    template = ('{what} is made for logical blocks of {needed_bytes} bytes, '
                'but {where} shows blocks of {shown_bytes}: partitions and '
                'filesystems would not be found. Choose a backend that '
                'reports mydriver_block_bytes {needed_bytes}. See "Block '
                'sizes" in the features guide.')


class ImageNotShareable(MyDriverError):
    """An image's file cannot be a volume without being copied."""

    fields = ('image_id', 'reason')
    template = 'Image {image_id} cannot be shared: {reason}.'


class PoolFull(StoreFull):
    """A thin pool has too little room for anything new."""

    fields = ('where', 'part', 'used_percent', 'limit_percent', 'remedy')
    template = ('The {part} of thin pool {where} is {used_percent} % full; '
                'above {limit_percent} % nothing new is made. {remedy}')


class WrongDevice(MyDriverError):
    """A device on the compute host is not the volume that was expected."""

    fields = ('path', 'expected', 'found')
    template = ('{path} is not the expected volume: its VPD page 0x83 says '
                '{found}, expected {expected}. The device was not used.')


class DeviceNotFound(MyDriverError):
    """No device came up for a LUN."""

    fields = ('target', 'lun', 'reason')
    template = 'LUN {lun} of {target} did not appear: {reason}.'


class InitiatorError(MyDriverError):
    """The compute host's initiator could not do what was asked."""

    fields = ('what', 'reason')
    template = 'The initiator could not {what}: {reason}.'


class NoAnswer(InitiatorError):
    """A device could not be asked what it is; this says nothing of it."""


class DeviceInUse(MyDriverError):
    """Somebody on this host uses a guest's disk."""

    fields = ('device', 'users')
    template = ('/dev/{device} is in use on this host by {users}. Stop that '
                'use (umount, swapoff, vgchange -an, dmsetup remove) and '
                'detach again; keep this host\'s LVM from guests\' disks, see '
                'the chapter on compute hosts.')


class LoginError(MyDriverError):
    """No session with a target at one portal."""

    fields = ('target', 'portal', 'reason')
    template = 'Login to {target} at {portal} failed: {reason}.'


class WaitTimeout(MyDriverError):
    """Something did not come about in time."""

    fields = ('what', 'timeout_s')
    template = 'Waited {timeout_s} s in vain for {what}.'

# SPDX-License-Identifier: Apache-2.0
"""The one error tree.

Every error carries its facts as positional arguments and builds its text from
them. Positional only, since oslo.privsep rebuilds an error on the client's
side as ``cls(*args)``; primitives only, since msgpack carries them.
"""

from typing import ClassVar


class MyDriverError(Exception):
    """Base of all errors of ours.

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
        return self.template.format(
            **dict(zip(self.fields, self.args, strict=True)))


class ConfigurationError(MyDriverError):
    """A setting is wrong; the text names it and the remedy."""

    fields = ('option', 'problem', 'remedy')
    template = '{option}: {problem}. {remedy}'


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

    fields = ('problem',)
    template = 'The connector cannot be served: {problem}.'


class InvalidConnectionData(MyDriverError):
    """``connection_info['data']`` lacks something or contradicts itself."""

    fields = ('problem',)
    template = 'The connection data cannot be used: {problem}.'


class DiscoveryError(MyDriverError):
    """One portal did not answer a SendTargets discovery as it should."""

    fields = ('portal', 'reason')
    template = 'Discovery at {portal} failed: {reason}.'


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
    """A target of the pool takes no logins at a portal where it should."""

    fields = ('missing',)
    template = ('The kernel target does not serve {missing}. Run mydriver '
                'restore, or restart cinder-volume.')


class ForeignObject(MyDriverError):
    """An object in configfs is in the way and is not ours."""

    fields = ('what', 'problem')
    template = ('{what} exists and is not ours: {problem}. It was left as it '
                'is; remove or rename it by hand.')


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
    """The journal cannot be read or written."""

    fields = ('path', 'reason')
    template = ('The journal {path} cannot be used: {reason}. Restore it from '
                'a copy, or move it aside: in-use volumes are exported again '
                'when cinder-volume starts.')


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


class LoginError(MyDriverError):
    """No session with a target at one portal."""

    fields = ('target', 'portal', 'reason')
    template = 'Login to {target} at {portal} failed: {reason}.'


class WaitTimeout(MyDriverError):
    """Something did not come about in time."""

    fields = ('what', 'timeout_s')
    template = 'Waited {timeout_s} s in vain for {what}.'

# SPDX-License-Identifier: Apache-2.0
"""Failures of a host: its kernel, devices, network, or programs."""

from typing import Self

from mydriver.exception import base


class HostError(base.MyDriverError):
    """A host failed to do what was asked; retrying may help."""


class WaitTimeout(HostError):
    """A condition was not met in time."""

    what: str
    timeout_s: float
    template = 'Timed out after {timeout_s} s waiting for {what}.'


class Overtaken(HostError):
    """A host attached a volume again before its detach was carried out."""

    volume_id: str
    user: str
    reason: str
    template = ('Volume {volume_id} was not detached from {user}: {reason}. '
                'Detach it again if it is still attached there.')

    @classmethod
    def by_attach(cls, volume_id: str, user: str) -> Self:
        """Return the error for a user that another service let in again."""
        return cls(volume_id, user, 'it was attached there again through '
                   'another service meanwhile')


# -- the storage host

class TargetError(HostError):
    """The kernel target refused a change."""

    what: str
    reason: str
    template = 'The kernel target refused to {what}: {reason}.'


class OwnerChanged(HostError):
    """Another gateway owns the target by now."""

    target: str
    owner: str
    epoch: int
    template = ('Target {target} belongs to gateway {owner} since epoch '
                '{epoch}; this one does not serve it any more.')


class AddressError(HostError):
    """A floating address cannot be held, dropped or announced."""

    what: str
    reason: str
    template = 'This host cannot {what}: {reason}.'


class StoreError(HostError):
    """A store could not do what was asked."""

    what: str
    reason: str
    template = 'The store could not {what}: {reason}.'


class CephError(HostError):
    """A Ceph cluster did not do what was asked, or did not answer."""

    what: str
    reason: str
    template = 'Ceph cannot {what}: {reason}.'


class DiscoveryError(HostError):
    """A portal did not answer a SendTargets discovery as it should."""

    portal: str
    reason: str
    template = 'Discovery at {portal} failed: {reason}.'


class DiscoveryChap(DiscoveryError):
    """A portal asks for CHAP in discovery, which Cinder cannot answer."""

    template = ('Portal {portal} asks for CHAP in discovery ({reason}). See '
                'enforce_discovery_auth of its host.')


class TargetNotDiscovered(HostError):
    """No portal shows the target to the initiator."""

    target: str
    initiator: str
    reasons: str
    template = ('No portal offers target {target} to initiator {initiator}: '
                '{reasons} Check that the target is up and that its portals '
                'can be reached from the Cinder host.')


# -- the compute host

class InitiatorError(HostError):
    """The compute host's initiator could not do what was asked."""

    what: str
    reason: str
    template = 'The initiator could not {what}: {reason}.'


class NoAnswer(InitiatorError):
    """A device did not answer an inquiry; what it is remains unknown."""


class LoginError(HostError):
    """The initiator could not log in to a target at one portal."""

    target: str
    portal: str
    reason: str
    template = 'Login to {target} at {portal} failed: {reason}.'


class DeviceNotFound(HostError):
    """No device appeared for a LUN."""

    target: str
    lun: int
    reason: str
    template = 'LUN {lun} of {target} did not appear: {reason}.'


class WrongDevice(HostError):
    """A device on the compute host is not the expected volume."""

    path: str
    expected: str
    found: str
    template = ('{path} is not the expected volume: its VPD page 0x83 says '
                '{found}, expected {expected}. The device was not used.')


class DeviceInUse(HostError):
    """Something on this host uses a guest's disk."""

    device: str
    users: str
    template = ('/dev/{device} is in use on this host by {users}. Stop that '
                'use (umount, swapoff, vgchange -an, dmsetup remove) and '
                'detach again; keep this host\'s LVM away from guests\' '
                'disks, see the chapter on compute hosts.')

# SPDX-License-Identifier: Apache-2.0
"""Which protocols a backend offers to a host, and in which order.

Three things decide: what the store can do, the option ``mydriver_rbd_native``
and the volume type. But a volume that is in use keeps its protocol, whatever
the settings are by then: all of its hosts use the same one, so another host
gets that one or none. Nothing here imports cinder.
"""

import dataclasses
import enum
from typing import Any

from mydriver import exception
from mydriver.connection import Connector, Protocol

#: Extra spec of a volume type: the protocol that servers have to use.
EXTRA_SPEC = 'mydriver:protocol'

#: Values of ``storage_protocol`` for the scheduler, as Cinder's own drivers
#: report them (cinder/common/constants.py); a type may ask for any of them.
BACKEND_ISCSI = 'iSCSI'
POOL_BOTH = ('iSCSI', 'iscsi', 'ceph')

NO_ACCESS = "the backend's store cannot be used without a target"


class Policy(enum.StrEnum):
    """Which hosts use volumes natively: the option ``mydriver_rbd_native``."""

    PLUGIN = 'plugin'
    ALWAYS = 'always'
    NEVER = 'never'


@dataclasses.dataclass(frozen=True, slots=True)
class Offer:
    """What a backend offers to the hosts of one volume.

    :param policy: which hosts use volumes natively; None when the store has
        no native access.
    :param secret_uuid: libvirt secret that a host needs for it.
    :param wanted: the protocol that the volume type asks for.
    :param in_use: the protocol over which hosts use the volume now.
    :param users: those hosts, for messages.
    """

    policy: Policy | None = None
    secret_uuid: str = ''
    wanted: Protocol | None = None
    in_use: Protocol | None = None
    users: str = ''

    def to(self, host: Connector, volume_id: str, *,
           is_cinders: bool = False) -> tuple[Protocol, ...]:
        """Return what to offer to a host, the preferred protocol first.

        :param is_cinders: the host is one of Cinder's own services, or an
            old client that attaches without a record: iSCSI needs no key on
            such a host, and a device that any program can open.
        :raises NativeRefused: when the host would have to use the volume
            natively, and cannot.
        :raises OtherProtocol: when it cannot use the protocol in use.
        """
        if self.in_use is not None:
            return self._of_volume_in_use(self.in_use, host, volume_id)
        if self.wanted is Protocol.ISCSI:
            return (Protocol.ISCSI,)
        problem = self._problem(host)
        if self.wanted is Protocol.RBD:
            if is_cinders and self.policy is not None:
                return (Protocol.ISCSI,) if problem else (
                    Protocol.ISCSI, Protocol.RBD)
            if problem:
                raise exception.NativeRefused(host.host, problem)
            return (Protocol.RBD,)
        if problem:
            return (Protocol.ISCSI,)
        return ((Protocol.ISCSI, Protocol.RBD) if is_cinders
                else (Protocol.RBD, Protocol.ISCSI))

    def _of_volume_in_use(self, protocol: Protocol, host: Connector,
                          volume_id: str) -> tuple[Protocol, ...]:
        problem = None
        if protocol is Protocol.RBD:
            problem = self._problem(host, even_if_never=True)
        elif host.initiator is None:
            problem = 'its connector has no initiator name'
        if problem:
            raise exception.OtherProtocol(
                volume_id, str(protocol), self.users, host.host, problem)
        return (protocol,)

    def _problem(self, host: Connector, *, even_if_never: bool = False
                 ) -> str | None:
        """Return why a host cannot use a volume natively, None if it can."""
        if self.policy is None:
            return NO_ACCESS
        if self.policy is Policy.NEVER and not even_if_never:
            return 'mydriver_rbd_native of the backend is never'
        if host.name is None:
            return 'its connector does not name it'
        if (self.policy is Policy.ALWAYS
                or self.secret_uuid in host.capabilities.rbd_secrets):
            return None
        return ('its nova-compute does not say that it can. That takes '
                "compute_driver = mydriver.LibvirtDriver, QEMU's driver for "
                f'rbd, and the libvirt secret {self.secret_uuid}')


def of_type(volume: Any) -> Protocol | None:
    """Return the protocol that a volume's type asks for, None if it does not.

    :param volume: Cinder's object.
    :raises ConfigurationError: when the type asks for something unknown.
    """
    specs = (volume.volume_type and volume.volume_type.extra_specs) or {}
    value = specs.get(EXTRA_SPEC)
    if value is None:
        return None
    try:
        return Protocol(value)
    except ValueError:
        raise exception.ConfigurationError(
            EXTRA_SPEC, f'{exception.shown(value)!r} is not '
            + ' or '.join(Protocol),
            'Correct the extra spec of the volume type.') from None

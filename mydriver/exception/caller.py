# SPDX-License-Identifier: Apache-2.0
"""Errors of the caller: repeating the request unchanged cannot succeed."""

from mydriver.exception import base


class CallerError(base.MyDriverError):
    """The caller asked for something that cannot be done as asked."""


# -- values that are not valid

class InvalidIqn(CallerError):
    """A name is not an iSCSI qualified name that the target accepts."""

    name: str
    problem: str
    template = ('Not a valid iSCSI qualified name: {name!r}: {problem}. It '
                'looks like iqn.1993-08.org.debian:01:abc (RFC 7143, 4.2.7).')


class InvalidPortal(CallerError):
    """A text is not an iSCSI portal (address and TCP port)."""

    text: str
    problem: str
    template = 'Not a valid iSCSI portal: {text!r}: {problem}.'


class ConnectorError(CallerError):
    """The host of a connector cannot attach the volume."""


class InvalidConnector(ConnectorError):
    """The connector that the compute host sent is not usable."""

    problem: str
    template = 'The connector cannot be served: {problem}.'


class NoInitiatorName(ConnectorError):
    """The compute host has no iSCSI initiator name."""

    host: str
    template = ('The connector of host {host} has no initiator name. Install '
                'open-iscsi there and check /etc/iscsi/initiatorname.iscsi.')


class NoHostName(ConnectorError):
    """The connector does not name its host."""

    template = ('The connector names no host, and access without a target '
                'is recorded by host. Set host in the configuration of the '
                'service that sent it.')


class NativeRefused(ConnectorError):
    """A host cannot use a volume without a target, as it would have to."""

    host: str
    problem: str
    template = 'Host {host} cannot use the volume natively (rbd): {problem}.'


class OtherProtocol(ConnectorError):
    """A volume is in use over a protocol that the host cannot use."""

    volume_id: str
    protocol: str
    users: str
    host: str
    problem: str
    template = ('Volume {volume_id} is in use over {protocol} by {users}, and '
                'all hosts of a volume use one protocol. Host {host} cannot '
                'join them: {problem}. Detach the volume there first, or '
                'choose a host that can.')


class InvalidConnectionData(CallerError):
    """``connection_info['data']`` is incomplete or contradictory."""

    problem: str
    template = 'The connection data cannot be used: {problem}.'


class RequestRefused(CallerError):
    """A privileged verb refuses the request, whoever the caller is."""

    what: str
    problem: str
    template = 'The privileged daemon refuses {what}: {problem}.'


# -- objects in another state than the request assumes

class TargetInUse(CallerError):
    """An export cannot be removed while initiators use it."""

    volume_id: str
    initiators: str
    template = ('The export of volume {volume_id} is still mapped to '
                '{initiators}.')


class UsedNatively(CallerError):
    """Hosts use a volume without a target, so nobody else may touch it."""

    volume_id: str
    hosts: str
    template = ('Volume {volume_id} is used natively (rbd) by {hosts}. Detach '
                'it there first.')


class ExportNotFound(CallerError):
    """The journal has no export of the volume."""

    volume_id: str
    template = 'Volume {volume_id} is not exported.'


class BackingNotFound(CallerError):
    """The backing of a volume or snapshot is not in the store."""

    name: str
    where: str
    template = '{name} is not in {where}.'


class BlocksDiffer(CallerError):
    """The destination has another logical block size."""

    what: str
    needed_bytes: int
    where: str
    shown_bytes: int
    template = ('{what} was written with logical blocks of {needed_bytes} '
                'bytes, but {where} has blocks of {shown_bytes}: partitions '
                'and file systems would not be found. Choose a backend that '
                'reports mydriver_block_bytes {needed_bytes}. See "Block '
                'sizes" in the features guide.')


class ImageNotShareable(CallerError):
    """An image's file cannot become a volume without being copied."""

    image_id: str
    reason: str
    template = 'Image {image_id} cannot be shared: {reason}.'

# SPDX-License-Identifier: Apache-2.0
"""The addresses at which a backend is served: which may be, which are there.

The kernel's target listens at an address that the host does not have (it
binds with IP_FREEBIND: drivers/target/iscsi/iscsi_target_login.c,
iscsit_setup_np) and serves it from the moment that the host gets it. So an
address that is missing is no reason to refuse anything, as long as there is
another.
"""

from collections.abc import Sequence
import ipaddress
import socket

from mydriver import model

#: The option that names the first portal, and the one with the others.
FIRST, OTHERS = 'target_ip_address', 'target_secondary_ip_addresses'


def unusable(address: str) -> str | None:
    """Tell why hosts cannot be told to log in at an address.

    :param address: an IP address.
    :returns: the reason; None when they can.
    """
    ip = ipaddress.ip_address(address)
    if ip.is_unspecified:
        return 'it stands for all addresses of a host'
    if ip.is_multicast:
        return 'it is a multicast address'
    if ip == ipaddress.ip_address('255.255.255.255'):
        return 'it is the broadcast address'
    if isinstance(ip, ipaddress.IPv6Address):
        if ip.is_link_local or ip.scope_id:
            return 'it is link-local, and each host names its links itself'
        if ip.ipv4_mapped:
            return f'it is an IPv4 address; write it as {ip.ipv4_mapped}'
    return None


def option_of(portals: Sequence[model.Portal], portal: model.Portal) -> str:
    """Return the option that names one of a backend's portals."""
    return FIRST if portal == portals[0] else OTHERS


def absent(portal: model.Portal) -> str | None:
    """Tell why a portal's address cannot be reached at this host.

    :returns: the system's reason; None when it can.
    """
    family = socket.AF_INET6 if ':' in portal.address else socket.AF_INET
    try:
        with socket.socket(family, socket.SOCK_STREAM) as s:
            s.bind((portal.address, 0))
        # The kernel binds to a subnet's broadcast address as well, but refuses
        # to send there unasked. Nothing is sent here.
        with socket.socket(family, socket.SOCK_DGRAM) as s:
            s.connect((portal.address, portal.port))
    except PermissionError:
        return 'it is a broadcast address'
    except OSError as e:
        return e.strerror or str(e)
    return None

# SPDX-License-Identifier: Apache-2.0
"""The addresses of a backend's portals: which are usable, which are present.

The kernel target can listen at an address that the host does not have (it
binds with IP_FREEBIND: drivers/target/iscsi/iscsi_target_login.c,
iscsit_setup_np) and serves it as soon as the host gets it. So a missing
address is not an error while there is another one.
"""

from collections.abc import Sequence
import ipaddress
import socket

from mydriver import model

#: The option with the first portal's address, and that with the others.
FIRST, OTHERS = 'target_ip_address', 'target_secondary_ip_addresses'


def unusable(address: str) -> str | None:
    """Return why hosts cannot log in at an address.

    :param address: an IP address.
    :returns: the reason; None when they can.
    """
    ip = ipaddress.ip_address(address)
    if ip.is_unspecified:
        return 'it means all addresses of a host'
    if ip.is_multicast:
        return 'it is a multicast address'
    if ip == ipaddress.ip_address('255.255.255.255'):
        return 'it is the broadcast address'
    if isinstance(ip, ipaddress.IPv6Address):
        if ip.is_link_local or ip.scope_id:
            return 'it is link-local, so that its scope differs between hosts'
        if ip.ipv4_mapped:
            return f'it is an IPv4 address; write it as {ip.ipv4_mapped}'
    return None


def option_of(portals: Sequence[model.Portal], portal: model.Portal) -> str:
    """Return the option that sets the address of a backend's portal."""
    return FIRST if portal == portals[0] else OTHERS


def absent(portal: model.Portal) -> str | None:
    """Return why this host does not have a portal's address.

    :returns: the system's reason; None when it has the address.
    """
    family = socket.AF_INET6 if ':' in portal.address else socket.AF_INET
    try:
        with socket.socket(family, socket.SOCK_STREAM) as s:
            s.bind((portal.address, 0))
        # The kernel also binds to a subnet's broadcast address, but refuses to
        # connect there. Nothing is sent here.
        with socket.socket(family, socket.SOCK_DGRAM) as s:
            s.connect((portal.address, portal.port))
    except PermissionError:
        return 'it is a broadcast address'
    except OSError as e:
        return e.strerror or str(e)
    return None

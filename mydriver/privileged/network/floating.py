# SPDX-License-Identifier: Apache-2.0
"""Privileged verbs for floating addresses: hold, drop, announce, prompt.

The kernel itself removes an address when the time is over that it was held
for. So a gateway whose daemon is dead, stopped or late does not keep it.

Only addresses that root's configuration gives to gateways are touched
(``mydriver_gateway_addresses``), and of these only what a verb has put there:
the address alone, without its subnet, and with a lifetime. An address with
a subnet would be the host's own, and the kernel would remove it, or with it,
together with the others of the subnet (net/ipv4/devinet.c,
__inet_del_ifa: secondary addresses go with the primary one).

A TCP connection outlives its address. With IPv4 the kernel sends nothing from
an address that the host does not have (net/ipv4/route.c,
ip_route_output_key_hash_rcu). With IPv6 it does, so that an initiator would
still see the errors of a gateway that has been fenced. Hence each IPv6 address
has a rule that nothing leaves from it (:mod:`.outgoing`) except while it is
held.
"""

from collections.abc import Callable
import contextlib
import errno
import ipaddress
import socket
import threading
import time

from mydriver import exception, privileged
from mydriver.privileged import grants, values, verbs
from mydriver.privileged.network import frames, outgoing, rtnetlink, segments

#: The longest time that an address is held for without being renewed.
MOST_S = 120.0
#: How often an address is announced by one call.
_TIMES = 3
#: How many peers are prompted by one call.
_MOST_PEERS = 4096

_OPTION = 'mydriver_gateway_addresses'

# One change at a time: it consists of a look and what follows from it.
_lock = threading.Lock()


def _verb(what: str) -> Callable[[Callable[..., object]],
                                 Callable[..., object]]:
    return verbs.translating_os_errors(what, exception.AddressError)


@privileged.target_context.entrypoint
@_verb('hold a floating address')
def hold_address(address: str, until_s: float) -> None:
    """Put a floating address on its interface, or renew its lifetime.

    The kernel counts whole seconds, and removes the address within 1 s after
    they are over: it does not look more often (net/ipv4/devinet.c,
    check_lifetime; net/ipv6/addrconf.c, addrconf_verify_rtnl). The time that a
    host was stopped for counts.

    :param address: IPv4 or IPv6 address.
    :param until_s: when the caller's right to it ends, in seconds of
        CLOCK_BOOTTIME. The clock is read here, so that it does not matter how
        long the call took.
    :raises AddressError: when that time has come, in which case the address is
        removed; or when the kernel refuses.
    :raises ForeignObject: when the host has the address as its own.
    :raises ConfigurationError: when no interface, or more than one, has an
        address in its subnet.
    """
    wanted = _floating(address)
    end_s = _end(until_s)
    with _lock:
        there = rtnetlink.addresses()
        ours = _ours(wanted, there)
        index = _interface(wanted, there)
        left_s = int(end_s - _now())
        try:
            if left_s >= 1:
                if ':' in wanted:
                    outgoing.allow(wanted, index, left_s)
                rtnetlink.put_address(index, wanted, left_s)
        finally:
            # This process, or the machine, may have been stopped meanwhile.
            is_over = _now() >= end_s or left_s < 1
            if is_over:
                _drop(wanted, [*ours, index])
        if is_over:
            raise exception.AddressError(
                f'hold {wanted}', 'the time to do so is over')
        _drop(wanted, [i for i in ours if i != index])


@privileged.target_context.entrypoint
@_verb('drop a floating address')
def drop_address(address: str) -> None:
    """Remove a floating address from this host.

    Nothing leaves from it any more when this returns: what initiators have
    not got an answer to, they send again to the next owner.

    :param address: IPv4 or IPv6 address.
    :raises ForeignObject: when the host has the address as its own.
    :raises AddressError: when the kernel refuses.
    """
    wanted = _floating(address)
    with _lock:
        _drop(wanted, _ours(wanted, rtnetlink.addresses()))


@privileged.target_context.entrypoint
@_verb('announce a floating address')
def announce(address: str) -> None:
    """Tell the neighbours that this host has a floating address.

    A few times, by gratuitous ARP (RFC 826, RFC 5227) or unsolicited neighbour
    advertisements (RFC 4861, 7.2.6).

    :param address: IPv4 or IPv6 address, which the host has to hold.
    :raises AddressError: when it does not, or when the interface is down.
    """
    wanted = _floating(address)
    with _lock:
        held = _ours(wanted, rtnetlink.addresses())
        if not held:
            raise exception.AddressError(
                f'announce {wanted}', 'this host does not hold it')
        for index in held:
            frames.send(index, wanted, _TIMES)


@privileged.target_context.entrypoint
@_verb('prompt the peers of a floating address')
def prompt_peers(address: str, port: int,
                 peers: list[list[object]]) -> None:
    """Let peers notice that this host does not know their connections.

    Those that it knows go on.

    :param address: IPv4 or IPv6 address, which the host has to hold.
    :param port: that the connections were made to.
    :param peers: address and port of each.
    :raises AddressError: when the host does not hold the address.
    """
    own = values.portal([address, port])
    wanted = _floating(address)
    found = [values.portal(p)
             for p in values.items(peers, 'peers', _MOST_PEERS)]
    for peer in found:
        if (':' in peer.address) != (':' in wanted):
            values.refuse('a peer', f'{peer.address} is of another family '
                          f'than {wanted}')
    with _lock:
        if not _ours(wanted, rtnetlink.addresses()):
            raise exception.AddressError(
                f'prompt the peers of {wanted}', 'this host does not hold it')
        segments.send(wanted, own.port, [(p.address, p.port) for p in found])


def _floating(said: object) -> str:
    """Return an address that root's configuration gives to gateways."""
    wanted = values.portal([said, 1]).address
    if wanted not in grants.floating():
        values.refuse(f'floating address {wanted}',
                      f'{_OPTION} of no backend has it')
    return wanted


def _end(said: object) -> float:
    """Return the time until which an address may be held."""
    if isinstance(said, bool) or not isinstance(said, int | float) or not (
            0 <= said <= _now() + MOST_S):
        values.refuse('a time', f'{values.shown(said)} is not one within '
                      f'{MOST_S:.0f} s')
    return float(said)


def _now() -> float:
    """Return the time in seconds since the boot, with all pauses."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


def _ours(wanted: str, there: list[rtnetlink.Address]) -> list[int]:
    """Return the interfaces on which a verb has put an address.

    :raises ForeignObject: when it is on any interface otherwise.
    """
    found = [a for a in there if a.address == wanted]
    for one in found:
        if one.valid_s is None or not _is_alone(one):
            raise exception.ForeignObject(
                f'Address {wanted} of {_name(one.index)}',
                'it has no lifetime' if one.valid_s is None
                else f'its prefix is /{one.prefix}')
    return [a.index for a in found]


def _interface(wanted: str, there: list[rtnetlink.Address]) -> int:
    """Return the interface with an own address in the subnet of another.

    :raises ConfigurationError: when there is none, or more than one.
    """
    chosen, ip = grants.floating()[wanted], ipaddress.ip_address(wanted)
    found = {a.index for a in there if not _is_alone(a) and ip in
             ipaddress.ip_network(f'{a.subnet}/{a.prefix}', strict=False)}
    named = {i: name for i in found if (name := _name(i)) in chosen
             or not chosen}
    if len(named) == 1:
        return next(iter(named))
    among = f' of {", ".join(chosen)}' if chosen else ''
    raise exception.ConfigurationError(
        'mydriver_gateway_interface' if named or chosen else _OPTION,
        f'{wanted} can be on ' + (
            f'several interfaces: {", ".join(sorted(named.values()))}'
            if named else f'no interface{among}: none has an address of its '
            'own in the same subnet'),
        'Name one interface for each network.' if named else
        'Give the interface of that network an address of its own, or correct '
        'the option.')


def _drop(wanted: str, indexes: list[int]) -> None:
    """Remove an address from interfaces that may have it."""
    if ':' in wanted and indexes:
        outgoing.forbid(wanted)
    for index in indexes:
        try:
            rtnetlink.delete_address(index, wanted)
        except OSError as e:
            # The kernel may have removed it, or the interface, meanwhile.
            if e.errno not in (errno.EADDRNOTAVAIL, errno.ENODEV):
                raise


def _is_alone(address: rtnetlink.Address) -> bool:
    return address.prefix == (128 if ':' in address.address else 32)


def _name(index: int) -> str:
    with contextlib.suppress(OSError):
        return socket.if_indextoname(index)
    return str(index)

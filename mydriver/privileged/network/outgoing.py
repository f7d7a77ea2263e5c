# SPDX-License-Identifier: Apache-2.0
"""Whether IPv6 packets may leave from a floating address.

Each address has a routing table. A rule (ip-rule(8)) has the kernel look up
there what this host sends from the address. Its only routes are two default
ones: one that leads to an interface and expires, and a blackhole behind it.
The rule ignores a default route (``suppress_prefixlength 0``), so that routing
goes on as usual; but not a blackhole. So the kernel itself stops the packets
at the given time, and does not need this process for it. It lets neither a
blackhole nor a rule expire.
"""

import contextlib
import ipaddress
import time
import zlib

from mydriver.privileged.network import rtnetlink

#: Before the rules of an administrator, which usually are near 32766.
_PRIORITY = 5260
_FIRST, _LAST = 1, 0xffffffff
#: A second less of a lifetime makes no difference from here on; a shorter one
#: is set this much later. Both are whole seconds.
_LONG_S, _EARLY_S = 4, 0.06
#: Tables from here on are ours; administrators use small numbers.
_TABLES = 1 << 30


def table(address: str) -> int:
    """Return the number of an address's routing table."""
    packed = ipaddress.IPv6Address(address).packed
    return _TABLES | zlib.crc32(packed) & (_TABLES - 1)


def allow(address: str, index: int, valid_s: int) -> None:
    """Let packets leave for a time.

    It ends before the kernel removes the address: then it looks the routes of
    all connections up again (net/ipv6/addrconf.c, __ipv6_ifa_notify), which
    may be 20 ms early (ADDRCONF_TIMER_FUZZ_MINUS).

    :param index: number of the interface that the address is on.
    :param valid_s: lifetime of the address, seconds.
    :raises OSError: when the kernel refuses.
    """
    number = table(address)
    rtnetlink.put_default_route(number, rtnetlink.BLACKHOLE, _LAST)
    early_s = 1 if valid_s >= _LONG_S else 0
    rtnetlink.put_default_route(number, rtnetlink.UNICAST, _FIRST, index,
                                valid_s - early_s)
    with contextlib.suppress(FileExistsError):
        rtnetlink.add_rule(address, number, _PRIORITY)
    if not early_s:
        time.sleep(_EARLY_S)


def forbid(address: str) -> None:
    """Let no packets leave, until they are allowed again.

    :raises OSError: when the kernel refuses.
    """
    number = table(address)
    rtnetlink.put_default_route(number, rtnetlink.BLACKHOLE, _LAST)
    with contextlib.suppress(FileExistsError):
        rtnetlink.add_rule(address, number, _PRIORITY)
    with contextlib.suppress(ProcessLookupError):
        rtnetlink.delete_default_route(number, rtnetlink.UNICAST, _FIRST)

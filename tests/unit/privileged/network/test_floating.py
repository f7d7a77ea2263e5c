# SPDX-License-Identifier: Apache-2.0
"""The verbs of floating addresses, on a kernel in memory."""

import dataclasses
import errno
import unittest
from unittest import mock

import ddt

from mydriver import exception, privileged
from mydriver.privileged import grants
from mydriver.privileged.network import (
    floating,
    frames,
    outgoing,
    rtnetlink,
    segments,
)

FOUR, SIX = '192.0.2.51', '2001:db8::51'
NAMES = {2: 'eth0', 3: 'eth1'}


class Kernel:
    """Addresses, and the routes of what leaves from them."""

    UNICAST, BLACKHOLE = rtnetlink.UNICAST, rtnetlink.BLACKHOLE
    Address = rtnetlink.Address

    def __init__(self):
        self.now = 1000.0
        #: Seconds that a change of an address takes.
        self.takes_s = 0.0
        self.there = [
            rtnetlink.Address(2, '192.0.2.1', 24, '192.0.2.1', None),
            rtnetlink.Address(2, '2001:db8::1', 64, '2001:db8::1', 900)]
        self.rules = {}
        self.routes = {}
        self.order = []

    def clock(self):
        return self.now

    def addresses(self):
        return list(self.there)

    def put_address(self, index, address, valid_s):
        self.order.append('put')
        self.there = [a for a in self.there if (a.index, a.address) != (
            index, address)]
        self.there.append(rtnetlink.Address(
            index, address, 128 if ':' in address else 32, address, valid_s))
        self.now += self.takes_s

    def delete_address(self, index, address):
        self.order.append('delete')
        kept = [a for a in self.there if (a.index, a.address) != (
            index, address)]
        if kept == self.there:
            raise OSError(errno.EADDRNOTAVAIL, 'not there')
        self.there = kept

    def put_default_route(self, table, kind, metric, index=0, expires_s=0):
        self.order.append('route')
        self.routes[table, metric] = (kind, index, expires_s)

    def delete_default_route(self, table, kind, metric):
        self.order.append('forbid')
        if self.routes.pop((table, metric), None) is None:
            raise ProcessLookupError

    def add_rule(self, address, table, priority):
        if address in self.rules:
            raise FileExistsError
        self.rules[address] = table, priority

    def held(self):
        """Return interface and lifetime of the floating addresses."""
        return {a.address: (a.index, a.valid_s) for a in self.there
                if a.address in (FOUR, SIX)}


@ddt.ddt
class VerbsTest(unittest.TestCase):
    """What a verb does, and what it refuses."""

    def setUp(self):
        super().setUp()
        privileged.target_context.set_client_mode(False)
        self.addCleanup(privileged.target_context.set_client_mode, True)
        self.kernel = Kernel()
        self.granted = {FOUR: (), SIX: ()}
        for module in (floating, outgoing):
            self.enterContext(mock.patch.object(
                module, 'rtnetlink', self.kernel))
        self.enterContext(mock.patch.object(
            grants, 'floating', return_value=self.granted))
        self.enterContext(mock.patch.object(
            floating, '_now', self.kernel.clock))
        self.enterContext(mock.patch.object(
            floating.socket, 'if_indextoname', NAMES.__getitem__))
        self.send = self.enterContext(mock.patch.object(frames, 'send'))
        self.sleep = self.enterContext(mock.patch.object(
            outgoing.time, 'sleep'))

    def hold(self, address, for_s):
        floating.hold_address(address, self.kernel.now + for_s)

    @ddt.data(FOUR, SIX)
    def test_hold_renew_and_drop(self, address):
        for for_s in (5.9, 5.0, 3.2, 1.0):
            self.hold(address, for_s)
            self.assertEqual({address: (2, int(for_s))}, self.kernel.held())
        for _again in range(2):
            floating.drop_address(address)
            self.assertEqual({}, self.kernel.held())

    @ddt.data(-1000.0, -1.0, 0.0, 0.9)
    def test_too_late_is_dropped(self, for_s):
        for address in (FOUR, SIX):
            self.hold(address, 5)
            with self.assertRaisesRegex(exception.AddressError, 'is over'):
                self.hold(address, for_s)
            with self.assertRaises(exception.AddressError):
                self.hold(address, for_s)
        self.assertEqual({}, self.kernel.held())

    @ddt.data(FOUR, SIX)
    def test_stopped_in_the_middle(self, address):
        self.kernel.takes_s = 20.0
        with self.assertRaisesRegex(exception.AddressError, 'is over'):
            self.hold(address, 6)
        self.assertEqual({}, self.kernel.held())
        if address == SIX:
            self.assertEqual([(rtnetlink.BLACKHOLE, 0, 0)],
                             [*self.kernel.routes.values()])

    def test_nothing_leaves_from_an_ipv6_address_that_is_not_held(self):
        table = outgoing.table(SIX)
        self.hold(SIX, 6)
        last = {(table, 0xffffffff): (rtnetlink.BLACKHOLE, 0, 0)}
        self.assertEqual({**last, (table, 1): (rtnetlink.UNICAST, 2, 5)},
                         self.kernel.routes)
        self.assertEqual({SIX: (table, 5260)}, self.kernel.rules)
        self.assertEqual(['route', 'route', 'put'], self.kernel.order)
        self.kernel.order.clear()
        floating.drop_address(SIX)
        self.assertEqual(['route', 'forbid', 'delete'], self.kernel.order)
        self.assertEqual(last, self.kernel.routes)
        self.assertEqual({SIX: (table, 5260)}, self.kernel.rules)

    def test_it_may_leave_for_less_time_than_the_address_is_held(self):
        for for_s, route_s, pauses in ((4, 3, 0), (3, 3, 1), (1, 1, 1)):
            self.sleep.reset_mock()
            self.hold(SIX, for_s)
            self.assertEqual(
                (rtnetlink.UNICAST, 2, route_s),
                self.kernel.routes[outgoing.table(SIX), 1])
            self.assertEqual(pauses, self.sleep.call_count)

    @ddt.data(FOUR, SIX)
    def test_an_address_that_is_the_hosts_own(self, address):
        full = 128 if ':' in address else 32
        for prefix, valid_s in ((full, None), (full - 8, 300), (24, None)):
            own = rtnetlink.Address(3, address, prefix, address, valid_s)
            self.kernel.there = [*Kernel().there, own]
            for call in (self.hold, lambda a, _s: floating.drop_address(a),
                         lambda a, _s: floating.announce(a)):
                with self.assertRaisesRegex(exception.ForeignObject,
                                            f'Address {address} of eth1'):
                    call(address, 5)
            self.assertIn(own, self.kernel.there)

    @ddt.data('192.0.2.1', '192.0.2.52', '2001:db8::1', '127.0.0.1')
    def test_an_address_that_no_backend_has(self, address):
        for call in (self.hold, lambda a, _s: floating.drop_address(a),
                     lambda a, _s: floating.announce(a),
                     lambda a, _s: floating.prompt_peers(a, 1, [])):
            with self.assertRaisesRegex(exception.RequestRefused,
                                        'mydriver_gateway_addresses'):
                call(address, 5)

    @ddt.data(None, True, '5', float('nan'), float('inf'), -1.0, 1 << 70)
    def test_a_time_that_is_none(self, until_s):
        with self.assertRaises(exception.RequestRefused):
            floating.hold_address(FOUR, until_s)
        with self.assertRaises(exception.RequestRefused):
            self.hold(FOUR, 121)

    def test_no_interface_has_the_subnet(self):
        self.kernel.there = [
            dataclasses.replace(a, prefix=32 if '.' in a.address else 128)
            for a in self.kernel.there]
        with self.assertRaisesRegex(exception.ConfigurationError,
                                    'no interface: none') as caught:
            self.hold(FOUR, 5)
        self.assertEqual('mydriver_gateway_addresses',
                         caught.exception.option)

    def test_several_interfaces_have_the_subnet(self):
        self.kernel.there.append(rtnetlink.Address(
            3, '192.0.2.2', 25, '192.0.2.2', 60))
        with self.assertRaisesRegex(exception.ConfigurationError,
                                    'several interfaces: eth0, eth1'
                                    ) as caught:
            self.hold(FOUR, 5)
        self.assertEqual('mydriver_gateway_interface',
                         caught.exception.option)
        self.granted[FOUR] = ('eth1', 'eth7')
        self.hold(FOUR, 5)
        self.assertEqual({FOUR: (3, 5)}, self.kernel.held())
        self.granted[FOUR] = ('eth7',)
        with self.assertRaisesRegex(exception.ConfigurationError,
                                    'no interface of eth7'):
            self.hold(FOUR, 5)

    def test_it_moves_with_the_hosts_own_address(self):
        self.hold(FOUR, 5)
        self.kernel.there[0] = dataclasses.replace(
            self.kernel.there[0], index=3)
        self.hold(FOUR, 4)
        self.assertEqual({FOUR: (3, 4)}, self.kernel.held())

    @ddt.data(FOUR, SIX)
    def test_only_what_is_held_is_announced(self, address):
        with self.assertRaisesRegex(exception.AddressError,
                                    'does not hold it'):
            floating.announce(address)
        self.hold(address, 5)
        floating.announce(address)
        self.assertEqual([mock.call(2, address, 3)],
                         self.send.call_args_list)

    @ddt.data((FOUR, '192.0.2.9', SIX), (SIX, '2001:db8::9', FOUR))
    @ddt.unpack
    def test_peers_of_what_is_held_are_prompted(self, address, peer, other):
        with self.assertRaisesRegex(exception.AddressError,
                                    'does not hold it'):
            floating.prompt_peers(address, 3260, [[peer, 40000]])
        self.hold(address, 5)
        with mock.patch.object(segments, 'send') as send:
            floating.prompt_peers(address, 3260, [[peer, 40000]])
            send.assert_called_once_with(address, 3260, [(peer, 40000)])
            for port, peers in ((0, []), (3260, [[other, 1]]),
                                (3260, [[peer, 0]]), (3260, [[peer]]),
                                (3260, peer), (3260, [['name', 1]]),
                                (3260, [[peer, 1]] * 4097)):
                with self.assertRaises(exception.RequestRefused):
                    floating.prompt_peers(address, port, peers)
            self.assertEqual(1, send.call_count)


class TablesTest(unittest.TestCase):
    """Routing tables are one for each address, and no administrator's."""

    def test_tables(self):
        found = {outgoing.table(f'2001:db8::{n:x}') for n in range(4096)}
        self.assertEqual(4096, len(found))
        self.assertTrue(all(1 << 30 <= t < 1 << 31 for t in found))

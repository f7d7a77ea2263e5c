# SPDX-License-Identifier: Apache-2.0
"""Whether a gateway is cut off from initiators."""

import socket
import threading
import unittest
from unittest import mock

from mydriver import model
from mydriver.target.gateways import witnesses

ONE, TWO = model.Portal('192.0.2.1'), model.Portal('192.0.2.2')


class WitnessesTest(unittest.TestCase):
    """Probes, and what they say."""

    def test_open_and_closed_ports_answer(self):
        with socket.socket() as one:
            one.bind(('127.0.0.1', 0))
            portal = model.Portal(*one.getsockname())
            self.assertTrue(witnesses.answers(portal))
            one.listen()
            self.assertTrue(witnesses.answers(portal))

    def test_what_has_no_route_does_not(self):
        with mock.patch.object(socket.socket, 'connect_ex',
                               return_value=113):
            self.assertFalse(witnesses.answers(ONE))
        with mock.patch.object(socket.socket, 'connect_ex',
                               side_effect=OSError):
            self.assertFalse(witnesses.answers(model.Portal('2001:db8::1')))

    def test_one_of_them_is_enough(self):
        reached = {ONE, TWO}
        with mock.patch('time.monotonic') as now:
            now.return_value = 0.0
            its = witnesses.Witnesses([ONE, TWO], reached.__contains__)
            for gone, wanted in ((ONE, True), (TWO, False)):
                reached.remove(gone)
                now.return_value += witnesses.REACHED_S
                its.probe()
                self.assertIs(wanted, its.are_reached())
            reached.add(TWO)
            its.probe()
            self.assertTrue(its.are_reached())

    def test_without_any_nobody_is_asked(self):
        its = witnesses.Witnesses([], mock.Mock(side_effect=AssertionError))
        its.start(threading.Event())
        with mock.patch('time.monotonic', return_value=1e9):
            self.assertTrue(its.are_reached())

    def test_a_thread_probes_them(self):
        asked, end = threading.Event(), threading.Event()
        self.addCleanup(end.set)
        its = witnesses.Witnesses([ONE], lambda _: asked.set() or True)
        its.start(end)
        self.assertTrue(asked.wait(10))

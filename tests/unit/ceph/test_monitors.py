# SPDX-License-Identifier: Apache-2.0
"""The addresses of monitors, from the answer to ``mon dump``."""

import json
import unittest

import ddt

from mydriver import exception, model
from mydriver.ceph import monitors

V1 = {'type': 'v1', 'addr': '192.0.2.1:6789', 'nonce': 0}
V2 = {'type': 'v2', 'addr': '192.0.2.1:3300', 'nonce': 0}


class Handle:
    """A connection that gives one answer."""

    def __init__(self, *vectors, number=0, output=None):
        self.answer = number, output or json.dumps({'mons': [
            {'public_addrs': {'addrvec': v}} for v in vectors]}), 'told so'

    def mon_command(self, command, data):
        assert json.loads(command)['prefix'] == 'mon dump'
        return self.answer


@ddt.ddt
class MonitorsTest(unittest.TestCase):
    """One address of each."""

    def test_the_first_protocol_is_preferred(self):
        self.assertEqual(
            (model.Portal('192.0.2.1', 6789), model.Portal('2001:db8::1',
                                                           3300)),
            monitors.addresses(Handle(
                [V2, V1], [{'type': 'v2', 'addr': '[2001:db8::1]:3300'}])))

    @ddt.data(
        (Handle(number=-110), 'told so'), (Handle(), 'there are none'),
        (Handle(output='{'), 'not understood'),
        (Handle(output='[]'), 'not understood'),
        (Handle([{'type': 'any', 'addr': '192.0.2.1:0'}]), 'not understood'),
        (Handle([{**V1, 'addr': 'mon:6789'}]), 'not understood'))
    @ddt.unpack
    def test_answers_that_are_none(self, handle, said):
        with self.assertRaisesRegex(exception.CephError, said):
            monitors.addresses(handle)

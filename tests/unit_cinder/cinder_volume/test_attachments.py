# SPDX-License-Identifier: Apache-2.0
"""What Cinder's records say about who uses a volume."""

import unittest

import ddt

from mydriver import model
from mydriver.cinder_volume import attachments
from tests.fakes import cinder as fakes

HOST = model.Iqn(fakes.INITIATOR)
OTHER = 'iqn.1993-08.org.debian:01:other'


def volume(*attached, **fields):
    """Return a volume with these attachments."""
    return fakes.volume(volume_attachment=list(attached), **fields)


@ddt.ddt
class AttachmentsTest(unittest.TestCase):
    """Shared attachments, read-only attachments, remaining attachments."""

    @ddt.data(
        ((), False),
        ((fakes.attachment(),), False),
        ((fakes.attachment(), fakes.attachment()), True),
        ((fakes.attachment(), fakes.attachment(fakes.INITIATOR.upper())),
         True),
        ((fakes.attachment(), fakes.attachment(OTHER)), False),
        ((fakes.attachment(), fakes.attachment(None)), False),
        ((fakes.attachment(OTHER), fakes.attachment(OTHER)), False),
        ((fakes.attachment(), fakes.attachment('nonsense')), False),
    )
    @ddt.unpack
    def test_shared(self, attached, expected):
        self.assertIs(expected, attachments.is_shared(volume(*attached),
                                                      HOST))

    @ddt.data(
        ({}, False),
        ({'readonly': 'True'}, True),
        ({'readonly': 'False'}, False),
        ({'attached_mode': 'ro'}, True),
        ({'attached_mode': 'rw', 'readonly': 'True'}, False),
    )
    @ddt.unpack
    def test_read_only(self, metadata, expected):
        # Cinder asks for 'ro' with any value of the readonly flag.
        for mode in ('rw', 'ro') if metadata else ('rw', None):
            self.assertIs(expected, attachments.is_read_only(
                volume(admin_metadata=metadata), {'mode': mode}))

    def test_an_attachment_has_a_mode_of_its_own(self):
        for connector, expected in (({'mode': 'ro'}, True),
                                    ({'mode': 'rw'}, False), ({}, False)):
            self.assertIs(expected, attachments.is_read_only(
                volume(), connector))

    @ddt.data(
        # (modes of this host's attachments, the one that ends, expected)
        (('rw', 'ro'), 'rw', True),
        (('rw', 'ro'), 'ro', False),
        (('rw', 'rw'), 'rw', False),
        (('ro', 'ro'), 'ro', True),
        (('rw', 'ro', 'rw'), 'rw', False),
        (('rw',), 'rw', False),
        # In doubt, a host that may be writing can go on.
        (('rw', 'rw'), 'ro', False),
    )
    @ddt.unpack
    def test_who_is_left_only_reads(self, modes, ending, expected):
        record = volume(
            fakes.attachment(OTHER, mode='rw'), fakes.attachment(None),
            *(fakes.attachment(mode=m) for m in modes))
        self.assertIs(expected, attachments.rest_reads_only(
            record, {'mode': ending}, HOST))

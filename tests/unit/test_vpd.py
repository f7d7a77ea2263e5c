# SPDX-License-Identifier: Apache-2.0
"""Page 0x83, real and broken."""

import unittest

from mydriver import model, vpd

#: As LIO of kernel 6.1 gives it for a fileio backstore.
PAGE = bytes.fromhex(
    '008300bc 01030010 60014059 480dfc5b ffe464e9 65822036 02010034'
    '4c494f2d 4f524720 46494c45 494f3a39 34383064 6663352d 62666665 2d343634'
    '652d3936 35382d32 32303336 65376134 33666300 51940004 00000001 51950004'
    '00000000 01060004 00000000 5398002c 69716e2e 32303130 2d31302e 6f72672e'
    '6f70656e 73746163 6b3a706f 6f6c2d30 2c742c30 78303030 31000000 53a80024'
    '69716e2e 32303130 2d31302e 6f72672e 6f70656e 73746163 6b3a706f 6f6c2d30'
    '00000000')
VOLUME = '9480dfc5-bffe-464e-9658-22036e7a43fc'


class NaaOfPageTest(unittest.TestCase):
    """The volume that a page identifies."""

    def test_real(self):
        self.assertEqual(model.naa_id(VOLUME), vpd.naa_of_page(PAGE))

    def test_port_is_passed_over(self):
        port = bytes.fromhex('01930008 5000000000000001')
        unit = bytes.fromhex('01030008 6001405000000001')
        head = b'\0\x83\0' + bytes([len(port + unit)])
        self.assertEqual('6001405000000001',
                         vpd.naa_of_page(head + port + unit))
        self.assertEqual('', vpd.naa_of_page(b'\0\x83\0\x0c' + port))

    def test_cut_anywhere(self):
        for size in range(len(PAGE)):
            expected = model.naa_id(VOLUME) if size >= 24 else ''
            self.assertEqual(expected, vpd.naa_of_page(PAGE[:size]), size)

    def test_an_id_of_another_length_is_none(self):
        for length in (0, 1, 9, 17, 255):
            unit = bytes([1, 3, 0, length]) + b'\x60' * length
            page = b'\0\x83' + len(unit).to_bytes(2, 'big') + unit
            self.assertEqual('', vpd.naa_of_page(page), length)

    def test_another_page(self):
        self.assertEqual('', vpd.naa_of_page(b'\0\x80' + PAGE[2:]))


class NamesTest(unittest.TestCase):
    """Names of the volume in udev and device-mapper."""

    def test_names(self):
        naa = model.naa_id(VOLUME)
        self.assertEqual('360014059480dfc5bffe464e965822036', vpd.wwid(naa))
        self.assertEqual('mpath-360014059480dfc5bffe464e965822036',
                         vpd.map_uuid(naa))

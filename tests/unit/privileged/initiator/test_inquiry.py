# SPDX-License-Identifier: Apache-2.0
"""INQUIRY of a disk: an answer, a refusal, and no answer."""

import errno
import os
from pathlib import Path
import stat
import tempfile
import unittest
from unittest import mock

import ddt

from mydriver import exception, model
from mydriver.privileged.initiator import inquiry
from tests.fakes.initiator import VOLUME, page83

NAA = model.naa_id(VOLUME)
HCTL = (3, 0, 0, 300)
_FIXED, _DESCRIPTOR = 0x70, 0x72
_ABORTED_COMMAND = 0xb


def sense(code, key):
    """Return sense data of either format."""
    data = bytearray(18)
    data[0] = code
    data[2 if code == _FIXED else 1] = key
    return bytes(data)


@ddt.ddt
class PresentNaaTest(unittest.TestCase):
    """A sysfs and a /dev that are directories."""

    def setUp(self):
        super().setUp()
        self.folder = Path(self.enterContext(tempfile.TemporaryDirectory()))
        for name in ('SYS', 'DEV'):
            self.enterContext(mock.patch.object(
                inquiry, name, self.folder / name))
        (self.folder / 'DEV').mkdir()

    def device(self):
        """Show a device and its disk as the kernel does at first."""
        block = inquiry.device_folder(HCTL) / 'block/sda'
        block.mkdir(parents=True)
        dev = inquiry.SYS / 'class/block/sda/dev'
        dev.parent.mkdir(parents=True)
        dev.write_text('1:3\n')

    def node(self):
        """Make its node: that of /dev/null, which stands for a disk's."""
        self.stand_in('/dev/null')

    def stand_in(self, node):
        real = os.open

        def opened(path, flags, *args):
            return real(node if str(path).endswith('/sda') else path,
                        flags & ~os.O_EXCL, *args)

        self.enterContext(mock.patch.object(inquiry.os, 'open', opened))
        self.enterContext(mock.patch.object(
            inquiry.stat, 'S_ISBLK', stat.S_ISCHR))

    def answer(self, page=b'', said=b'', **header_fields):
        """Have the target answer to INQUIRY."""
        def ioctl(_fd, _request, header):
            for name, value in header_fields.items():
                setattr(header, name, value)
            header.sb_len_wr = len(said)
            inquiry.ctypes.memmove(header.sbp, said, len(said))
            inquiry.ctypes.memmove(header.dxferp, page, len(page))
            header.resid = header.dxfer_len - len(page)

        self.device()
        self.node()
        self.enterContext(mock.patch.object(inquiry.fcntl, 'ioctl', ioctl))

    @ddt.data((None, False), (errno.EBUSY, True), (errno.ENXIO, False))
    @ddt.unpack
    def test_claimed(self, error, expected):
        self.device()
        self.node()
        real = os.open

        def open_exclusively(path, flags, *args):
            if str(path).endswith('/sda') and flags & os.O_EXCL and error:
                raise OSError(error, os.strerror(error))
            return real(path, flags & ~os.O_EXCL, *args)

        with mock.patch.object(inquiry.os, 'open', open_exclusively):
            self.assertIs(expected, inquiry.is_claimed('sda'))

    def test_answer(self):
        self.answer(page83(NAA))
        self.assertEqual(NAA, inquiry.present_naa(HCTL))

    @ddt.data(_FIXED, _DESCRIPTOR)
    def test_lun_that_is_not_mapped(self, code):
        self.answer(said=sense(code, inquiry._ILLEGAL_REQUEST), status=2,
                    driver_status=8)
        self.assertEqual('', inquiry.present_naa(HCTL))

    def test_device_that_is_gone(self):
        self.assertEqual('', inquiry.present_naa(HCTL))

    def test_device_without_disk_yet(self):
        (inquiry.device_folder(HCTL) / 'block').mkdir(parents=True)
        with self.assertRaisesRegex(exception.NoAnswer, 'no disk yet'):
            inquiry.present_naa(HCTL)

    def test_disk_without_node_yet(self):
        self.device()
        with self.assertRaisesRegex(exception.NoAnswer,
                                    '3:0:0:300.*No such file'):
            inquiry.present_naa(HCTL)

    def test_node_that_cannot_be_opened_yet(self):
        """Until bdev_add, an open of the node ends with ENXIO."""
        self.device()
        self.node()
        real = os.open

        def refuse(path, *args):
            if str(path).endswith('/sda'):
                raise OSError(6, os.strerror(6))
            return real(path, *args)

        with (mock.patch.object(inquiry.os, 'open', refuse),
              self.assertRaisesRegex(exception.NoAnswer, 'No such device')):
            inquiry.present_naa(HCTL)

    def test_node_that_is_anothers(self):
        self.device()
        self.stand_in('/dev/zero')
        with self.assertRaisesRegex(exception.NoAnswer, 'not device 1:3'):
            inquiry.present_naa(HCTL)

    @ddt.data({'host_status': 1}, {'host_status': 3}, {'status': 8},
              {'status': 2, 'said': sense(_FIXED, _ABORTED_COMMAND)})
    def test_command_that_did_not_come_through(self, how):
        self.answer(**how)
        with self.assertRaisesRegex(exception.NoAnswer, 'INQUIRY: status'):
            inquiry.present_naa(HCTL)

    def test_device_that_goes_while_it_is_asked(self):
        self.answer(host_status=1)
        with mock.patch.object(Path, 'exists', return_value=False):
            self.assertEqual('', inquiry.present_naa(HCTL))

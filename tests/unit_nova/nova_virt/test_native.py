# SPDX-License-Identifier: Apache-2.0
"""Whether guests of a host can use RBD images natively."""

import unittest
from unittest import mock

import ddt
from oslo_concurrency import processutils

from mydriver.nova_virt import native

UUIDS = ('457eb676-33da-42ec-9a8c-9293d545c337',
         '9480dfc5-bffe-464e-9658-22036e7a43fc')
MODULE = native.__name__


class Secret:
    """A secret of libvirt, whose value nobody reads."""

    def __init__(self, uuid, usage):
        self._uuid, self._usage = uuid, usage

    def UUIDString(self):
        return self._uuid

    def usageType(self):
        return self._usage


class Host:
    """A host of nova, and its connection to libvirt."""

    def __init__(self, *secrets):
        self.secrets = secrets
        self.error = None

    def get_connection(self):
        return self

    def listAllSecrets(self, flags):
        if self.error:
            raise self.error
        return self.secrets


@ddt.ddt
class QemuTest(unittest.TestCase):
    """What QEMU says of its driver."""

    @ddt.data(
        # QEMU 7.2 of Debian, with and without qemu-block-extra.
        ('error reading conf file /nonexistent/mydriver: No such file', True),
        ("Unknown protocol 'rbd'", False))
    @ddt.unpack
    def test_answer(self, reason, expected):
        said = ("qemu-img: Could not open 'rbd:none/none:conf=/nonexistent/"
                f"mydriver': {reason}\n")
        with (mock.patch.object(processutils, 'execute',
                                return_value=('', said)) as asked,
              self.assertNoLogs(MODULE, 'WARNING')):
            self.assertIs(expected, native.qemu_has_rbd())
        self.assertEqual(20, asked.call_args.kwargs['timeout'])

    @ddt.data(
        OSError('no qemu-img'), [('', 'Segmentation fault')],
        processutils.ProcessExecutionError('timed out'))
    def test_no_answer(self, effect):
        with (mock.patch.object(processutils, 'execute', side_effect=effect),
              self.assertLogs(MODULE, 'WARNING')):
            self.assertIs(False, native.qemu_has_rbd())

    def test_the_real_one_answers(self):
        with self.assertNoLogs(MODULE, 'WARNING'):
            self.assertIs(True, native.qemu_has_rbd())


class AccessTest(unittest.TestCase):
    """Which secrets a host offers."""

    def setUp(self):
        super().setUp()
        self.host = Host(Secret(UUIDS[0].upper(), 2), Secret(UUIDS[1], 3))
        self.asked = []
        self.answers = [True]

    def ask(self):
        self.asked.append(1)
        return self.answers.pop(0)

    def access(self, **kwargs):
        return native.NativeAccess(self.host, self.ask, **kwargs)

    def test_those_of_ceph_as_connection_info_spells_them(self):
        access = self.access()
        for _ in range(2):
            self.assertEqual({UUIDS[0]}, access.secrets())
        self.assertEqual(1, len(self.asked))

    def test_a_new_secret_is_seen_at_once(self):
        access = self.access()
        self.host.secrets = ()
        self.assertEqual(frozenset(), access.secrets())
        self.assertEqual([], self.asked)
        self.host.secrets = [Secret(uuid, 2) for uuid in UUIDS]
        self.assertEqual(set(UUIDS), access.secrets())

    def test_a_driver_that_is_installed_later(self):
        self.answers = [False, True]
        access = self.access()
        for _ in range(2):
            self.assertEqual(frozenset(), access.secrets())
        self.assertEqual(1, len(self.asked))
        self.answers = [False, True]
        access = self.access(ask_again_after_s=0)
        self.assertEqual([frozenset(), {UUIDS[0]}],
                         [access.secrets() for _ in range(2)])

    def test_libvirt_does_not_answer(self):
        self.host.error = RuntimeError('connection lost')
        with self.assertLogs(MODULE, 'WARNING'):
            self.assertEqual(frozenset(), self.access().secrets())

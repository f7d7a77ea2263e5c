# SPDX-License-Identifier: Apache-2.0
"""multipathd and maps, as root."""

from unittest import mock

import ddt

from mydriver import exception, model
from mydriver.privileged.initiator import devices, multipath
from tests.fakes.initiator import OTHER
from tests.fakes.privileged_initiator import (
    NAA,
    STRANGER,
    PrivilegedTestCase,
)


@ddt.ddt
class MultipathTest(PrivilegedTestCase):
    """Maps of volumes of ours and of others."""

    def test_claim(self):
        wwids = self.folder / 'wwids'
        pid = self.folder / 'pid'
        self.enterContext(mock.patch.multiple(
            multipath, _WWIDS=wwids, _MULTIPATHD_PID=pid))
        multipath.multipath_claim(NAA)
        claimed = f'multipath -a 3{NAA}\n'
        multipath.multipath_unclaim(NAA)        # there is no multipathd
        wwids.write_text(f'# Multipath wwids\n/3{model.naa_id(OTHER)}/\n')
        multipath.multipath_unclaim(NAA)        # it was not in there
        self.assertEqual(claimed, self.calls.read_text())
        wwids.write_text(f'# Multipath wwids\n/3{NAA}/\n')
        multipath.multipath_unclaim(NAA)
        self.assertEqual(f'{claimed}multipath -w 3{NAA}\n',
                         self.calls.read_text())
        wwids.unlink()
        pid.touch()
        multipath.multipath_unclaim(NAA)
        self.assertEqual(2, self.calls.read_text().count('-w'))

    @ddt.data('', '-a', NAA.upper(), NAA + '0', '../' + NAA, 7, None,
              '5000c500' + NAA[8:], [NAA])
    def test_claim_of_what_is_no_volume(self, naa):
        for verb in (multipath.multipath_claim, multipath.multipath_unclaim,
                     multipath.multipath_resize_map):
            with self.assertRaisesRegex(
                    exception.RequestRefused, 'not an NAA id'):
                verb(naa)
        self.assertEqual('', self.calls.read_text())

    def test_strangers_volume_with_an_id_as_ours(self):
        """Any target of the kernel's makes such."""
        self.device(target=STRANGER)
        self.map()
        for verb, *args in (
                (multipath.multipath_claim, NAA),
                (multipath.multipath_unclaim, NAA),
                (multipath.multipath_resize_map, NAA),
                (multipath.multipath_remove_map, NAA, False),
                (multipath.multipath_remove_map, NAA, True),
                (devices.flush, 'dm-7')):
            with self.assertRaisesRegex(exception.InitiatorError, '3:0:0:300'):
                verb(*args)
        self.assertEqual('', self.calls.read_text())

    def test_paths(self):
        self.device()
        multipath.multipath_add_path('sda')
        multipath.multipath_add_path('sdaa')    # it is not there
        multipath.multipath_del_path('sdaa')
        self.assertEqual(
            'multipathd add path sda\nmultipathd del path sdaa\n',
            self.calls.read_text())
        for verb in (multipath.multipath_add_path,
                     multipath.multipath_del_path):
            with self.assertRaises(exception.RequestRefused):
                verb('dm-0')

    def test_strangers_paths(self):
        self.device(target=STRANGER)
        self.device(host=4, name='sdb', naa='5000c500' + NAA[8:])
        for name in ('sda', 'sdb'):
            for verb in (multipath.multipath_add_path,
                         multipath.multipath_del_path):
                with self.assertRaises(exception.InitiatorError):
                    verb(name)
        self.assertEqual('', self.calls.read_text())

    def test_remove_map(self):
        self.map()
        for _ in range(2):
            multipath.multipath_remove_map(NAA, False)
        self.assertEqual('multipath -f mpatha\n', self.calls.read_text())

    def test_remove_map_by_force(self):
        self.map()
        multipath.multipath_remove_map(NAA, True)
        self.assertEqual('multipathd disablequeueing map mpatha\n'
                         'multipath -f mpatha\n', self.calls.read_text())

    def test_remove_map_that_is_open(self):
        self.map()
        (self.folder / 'busy').touch()
        with self.assertRaisesRegex(exception.InitiatorError, 'in use'):
            multipath.multipath_remove_map(NAA, False)

    def test_another_volumes_map_stays(self):
        self.map(model.naa_id(OTHER))
        multipath.multipath_remove_map(NAA, True)
        self.assertEqual('', self.calls.read_text())

    def test_resize_map(self):
        with self.assertRaisesRegex(exception.InitiatorError, 'none'):
            multipath.multipath_resize_map(NAA)
        self.map()
        self.say('ok\n')
        multipath.multipath_resize_map(NAA)
        self.say('fail\n')
        with self.assertRaisesRegex(exception.InitiatorError, 'fail'):
            multipath.multipath_resize_map(NAA)

    def test_map_that_the_host_has_mounted(self):
        self.map()
        self.use('29 1 253:7 / /srv/data rw shared:1 - xfs /dev/x rw\n')
        with self.assertRaisesRegex(
                exception.InitiatorError, 'mounted on /srv/data'):
            multipath.multipath_remove_map(NAA, True)
        self.assertEqual('', self.calls.read_text())

# SPDX-License-Identifier: Apache-2.0
"""One object of a backend is broken: all others keep working."""

import os
from pathlib import Path
import shutil
import tempfile
import unittest
from unittest import mock

import ddt

from mydriver import exception, model
from mydriver.privileged import channel
from mydriver.privileged.target import lio
from mydriver.target import addresses, configfs, factory, pool
from mydriver.target import lio as targets
from tests.fakes import cinder as fakes
from tests.fakes import connecting, devices
from tests.fakes import exports as exporting
from tests.unit.target.test_exports import ALICE, BOB

PORTALS = (model.Portal('192.0.2.1'), model.Portal('192.0.2.2'))


class AdoptTest(exporting.ServiceCase):
    """The journal is lost; what the kernel has is adopted."""

    def test_one_access_list_that_cannot_be_read(self):
        volumes = [self.exported() for _ in range(2)]
        for volume_id, host in zip(volumes, (ALICE, BOB), strict=True):
            connecting.connect(self.service, volume_id, host)
        before = self.seen()
        self.journal.close()
        for end in ('', '-wal', '-shm', '.mark'):
            if os.path.exists(self.journal.path + end):
                os.unlink(self.journal.path + end)
        is_mutual = self.target.is_mutual

        def refuse(target, initiator):
            if str(initiator) == ALICE['initiator']:
                raise exception.TargetError('read a NodeACL', 'it went')
            return is_mutual(target, initiator)
        with mock.patch.object(self.target, 'is_mutual', refuse):
            self.restart()
        self.assertEqual(before, self.seen())
        self.assertEqual([BOB['initiator']], [
            str(p.mapping.initiator) for p in self.journal.mappings()])


@ddt.ddt
class KeyTest(unittest.TestCase):
    """The CHAP key is damaged, and there is a copy of it."""

    def setUp(self):
        super().setUp()
        self.case = fakes.CinderTestCase()
        self.case.setUp()
        self.addCleanup(self.case.doCleanups)
        self.state = os.path.join(self.case.folder, 'state/mydriver/disks')

    def build(self, *, chap, replace_damaged=False):
        """Return a service on the state of a backend."""
        built = factory.build(pool.Settings(
            'disks', 'iqn.2010-10.org.openstack:', PORTALS, chap,
            self.state), devices.FolderDevices(self.state),
            replace_damaged=replace_damaged)
        self.addCleanup(built._journal.close)
        return built

    def damage(self):
        """Return what an initiator was told; damage the key then."""
        built = self.build(chap=True)
        built._kinds.keep_key()
        volume = model.Iqn('iqn.2010-10.org.openstack:mydriver-x-disks-0')
        told = built._kinds._keys.current.credentials(
            model.Iqn(ALICE['initiator']), volume, False)
        key = built._kinds.of_new(built.reconciler.pool[0]).key
        os.truncate(os.path.join(self.state, 'chap.key'), 5)
        return told, volume, key

    @ddt.data(True, False)
    def test_a_boot_goes_by_the_copy(self, chap):
        told, target, key = self.damage()
        built = self.build(chap=chap)
        self.assertEqual(told, built._kinds._keys.get(key).credentials(
            model.Iqn(ALICE['initiator']), target, False))
        # Nothing is known of what only the kernel has.
        self.assertEqual('', built._kinds.found(
            built.reconciler.pool[0], True).key)

    def test_nothing_new_is_told_secrets_of_it(self):
        self.damage()
        with self.assertRaisesRegex(exception.ConfigurationError,
                                    'is damaged'):
            self.build(chap=True, replace_damaged=True)

    def test_a_backend_without_chap_does_not_need_it(self):
        self.damage()
        os.unlink(next(e.path for e in os.scandir(self.state)
                       if e.name.startswith('chap.key.')))
        self.build(chap=False, replace_damaged=True)


class TargetTest(unittest.TestCase):
    """The host, and the kernel's target."""

    def setUp(self):
        super().setUp()
        self.target = targets.LioTarget('disks', PORTALS, False)

    def test_no_address_is_an_error_of_its_own(self):
        with mock.patch.object(addresses, 'absent', return_value='gone'), \
                mock.patch.object(os.path, 'ismount', return_value=True), \
                mock.patch.object(configfs, 'ROOT', mock.MagicMock()), \
                self.assertRaises(exception.NoAddress) as caught:
            self.target.check()
        self.assertIn('192.0.2.1', str(caught.exception))

    def test_a_folder_of_reservations_that_cannot_be_made(self):
        made = []

        def run(verb, *args):
            if verb is lio.ensure_database:
                raise exception.ConfigurationError(
                    'Kernel target', '/etc/target/pr cannot be made', 'Do.')
            made.append(args[0])
            return []
        with mock.patch.object(channel, 'run', run), \
                self.assertLogs(targets.__name__, 'ERROR') as logs:
            self.target.ensure_pool([model.Iqn('iqn.2026-11.org.example:t')])
        self.assertEqual(['iqn.2026-11.org.example:t'], made)
        self.assertIn('/etc/target/pr', logs.output[0])


class GoingTest(unittest.TestCase):
    """Another backend withdraws volumes while somebody looks."""

    def setUp(self):
        super().setUp()
        self.root = Path(self.enterContext(tempfile.TemporaryDirectory()))
        self.iqn = model.Iqn('iqn.2026-11.org.example:t')
        self.tpg = self.root / 'iscsi' / str(self.iqn) / 'tpgt_1'
        for name in ('np', 'lun', 'acls'):
            (self.tpg / name).mkdir(parents=True)
        acl = self.tpg / 'acls' / ALICE['initiator']
        for number in range(3):
            store = self.root / f'core/fileio_{number}/mydriver-b-{number}'
            lun, mapped = (folder / f'lun_{number}'
                           for folder in (self.tpg / 'lun', acl))
            for folder in (store, lun, mapped):
                folder.mkdir(parents=True)
            (lun / 'link').symlink_to(store)
            (mapped / 'link').symlink_to(lun)

    def look(self, going):
        """Return what is seen while something goes."""
        real = configfs._number

        def number(folder):
            shutil.rmtree(going, ignore_errors=True)
            return real(folder)
        with mock.patch.object(configfs, '_number', number):
            return configfs.target(self.iqn, self.root)

    def test_a_lun(self):
        seen = self.look(self.tpg / 'lun/lun_1')
        self.assertEqual([0, 2], [e.lun for e in seen.exports])

    def test_a_mapped_lun(self):
        acl = self.tpg / 'acls' / ALICE['initiator']
        seen = self.look(acl / 'lun_2')
        self.assertEqual([0, 1], [m.lun for m in seen.mappings])

    def test_the_target(self):
        self.assertIsNone(self.look(self.tpg))


@ddt.ddt
class StartTest(fakes.CinderTestCase):
    """cinder-volume starts."""

    @ddt.data(
        ('b/d', ''),
        ('other', 'mydriver_store = none-such'),
        ('other', 'mydriver_state_path = relative'))
    @ddt.unpack
    def test_the_section_of_another_backend_is_wrong(self, name, line):
        self.configure(f"""
            [{name}]
            volume_driver = mydriver.cinder_volume.driver.LIODriver
            mydriver_store_path = {self.folder}/other
            {line}
            [DEFAULT]
            enabled_backends = disks, {name}
        """)
        volume, driver = fakes.volume(), self.started_driver()
        driver.create_volume(volume)
        self.assertEqual([f'volume-{volume.id}'], self.stored())

    def test_a_store_that_takes_nothing_new(self):
        driver, volume = self.started_driver(), fakes.volume()
        driver.create_volume(volume)
        driver.create_export(None, volume, {})
        info = driver.initialize_connection(volume, fakes.connector())
        driver.engine.journal.close()
        again = self.new_driver()
        again.records.volumes = [fakes.volume(
            id=volume.id, status='in-use',
            volume_attachment=[fakes.attachment(info=info)])]
        again.do_setup(None)
        self.addCleanup(again.engine.journal.close)
        with mock.patch.object(
                again.backend.store._obj, 'check',
                side_effect=exception.StoreError(
                    'use thin pool vg/pool', 'it has no room for data')):
            again.check_for_setup_error()
        self.assertEqual([(volume.id, fakes.INITIATOR, False)],
                         again.engine.mapped())
        again.terminate_connection(volume, fakes.connector())
        again.delete_volume(volume)
        self.assertEqual([], self.stored())

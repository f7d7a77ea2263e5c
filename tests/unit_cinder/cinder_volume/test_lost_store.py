# SPDX-License-Identifier: Apache-2.0
"""A missing store is not an empty store, as Cinder sees it."""

import os
import shutil

from cinder import exception as cinder_exception

from tests.fakes import cinder as fakes
from tests.fakes import filesystem


class LostMountTest(fakes.CinderTestCase):
    """The filesystem of the store is not mounted: the directory is empty."""

    def setUp(self):
        super().setUp()
        self.driver = self.started_driver()
        self.volume = fakes.volume()
        self.driver.create_volume(self.volume)
        self.write(self.volume, b'kept')

    def lost(self):
        """Let an empty directory be in the place of the store."""
        return filesystem.other_folder(self.store_path)

    def refused(self, call, *args):
        """Make sure that a call fails, and says why."""
        with self.assertRaises(cinder_exception.CinderException) as caught:
            call(*args)
        self.assertIn(self.store_path, str(caught.exception))
        self.assertIn('mounted', str(caught.exception))

    def test_the_service_does_not_start(self):
        with self.lost():
            self.refused(self.started_driver)
        self.started_driver()
        self.assertEqual(b'kept', self.read(self.volume, 4))

    def test_nothing_is_deleted_or_made_while_it_runs(self):
        with self.lost():
            self.refused(self.driver.delete_volume, self.volume)
            self.refused(self.driver.create_volume, fakes.volume())
            self.assertEqual([], os.listdir(self.store_path))
            self.assertEqual('down', self.driver.get_volume_stats(True)[
                'pools'][0]['backend_state'])
        self.assertEqual(b'kept', self.read(self.volume, 4))
        self.driver.delete_volume(self.volume)
        self.assertFalse(os.path.exists(self.path(self.volume)))

    def test_a_lost_record_is_made_again(self):
        shutil.rmtree(f'{self.folder}/state/mydriver')
        self.started_driver()
        with self.lost():
            self.refused(self.started_driver)

    def test_a_store_of_an_earlier_version_is_taken_as_it_is(self):
        os.unlink(f'{self.store_path}/.mydriver-store')
        os.unlink(f'{self.folder}/state/mydriver/disks/store')
        self.started_driver()
        self.assertEqual(b'kept', self.read(self.volume, 4))
        with self.lost():
            self.refused(self.started_driver)

    def test_an_earlier_version_left_no_id_to_compare(self):
        os.unlink(f'{self.store_path}/.mydriver-store')
        os.unlink(f'{self.folder}/state/mydriver/disks/store')
        self.volume.status = 'available'
        driver = self.new_driver()
        driver.records.volumes = [fakes.volume(status='error'), self.volume]
        driver.do_setup(None)
        self.addCleanup(driver.engine.journal.close)
        with self.lost():
            self.refused(driver.check_for_setup_error)
            self.assertEqual([], os.listdir(self.store_path))
            self.volume.status = 'error'
            driver.check_for_setup_error()

    def test_another_store_is_taken_when_the_operator_says_so(self):
        with self.lost():
            os.unlink(f'{self.folder}/state/mydriver/disks/store')
            other = self.started_driver()
            other.create_volume(fakes.volume())
        self.refused(self.started_driver)


class LostSourceTest(fakes.CinderTestCase):
    """A migration whose source is not there."""

    def test_it_is_not_taken_for_one_that_was_done_before(self):
        other_path = os.path.join(self.folder, 'other')
        os.mkdir(other_path)
        self.configure(f"""
            [other]
            volume_driver = mydriver.cinder_volume.driver.LIODriver
            mydriver_store_path = {other_path}
            [DEFAULT]
            enabled_backends = disks, other
        """)
        driver, volume = self.started_driver(), fakes.volume()
        driver.create_volume(volume)
        info = str(driver.backend.place).replace(self.store_path, other_path)
        with open(f'{other_path}/volume-{volume.id}', 'wb') as f:
            f.write(b'half of an earlier try')
        with filesystem.other_folder(self.store_path), \
                self.assertRaisesRegex(cinder_exception.CinderException,
                                       'mounted'):
            driver.migrate_volume(fakes.context(), volume, {
                'host': 'storage@other#other',
                'capabilities': {'location_info': info}})

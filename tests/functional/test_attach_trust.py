# SPDX-License-Identifier: Apache-2.0
"""CHAP, its secrets, and the identity of devices on a real kernel."""

from pathlib import Path
import stat
import sys
from unittest import mock

import ddt

from mydriver import exception, model
from mydriver.connection import iscsi
from mydriver.initiator import devices
from tests.functional import attaching, base
from tests.functional.attaching import Attachment, ours, stock


@ddt.ddt
class SecretsTest(attaching.AttachTestCase):
    """CHAP, and where its secrets are not."""

    def secrets(self, data):
        chap = iscsi.Connection.parse(data).chap
        self.assertTrue(chap.password and chap.mutual_password)
        return chap.password, chap.mutual_password

    def test_mutual_chap(self):
        log, arguments = attaching.LogCatcher(self), attaching.Arguments(self)
        attachment = self.attach()
        records = [p for p in Path('/etc/iscsi/nodes').rglob('*')
                   if p.is_file()]
        self.assertEqual(1, len(records))
        self.assertEqual(0o600, stat.S_IMODE(records[0].stat().st_mode))
        secrets = self.secrets(attachment.data)
        for secret in secrets:
            self.assertIn(secret, records[0].read_text())
        self.detach(attachment)
        self.assertIn('--login', arguments.text)
        self.assertIn('Attached volume', log.text)
        for secret in secrets:
            self.assertNotIn(secret, arguments.text)
            self.assertNotIn(secret, log.text)
        self.assert_nothing_left()

    def test_stock_shows_the_secret_in_arguments(self):
        """Show that the watch of the arguments sees, and what stock does."""
        arguments = attaching.Arguments(self)
        attachment = self.attach(stock)
        self.detach(attachment)
        self.assertIn(attachment.data['auth_password'], arguments.text)

    @ddt.data('auth_password', iscsi._MUTUAL_PASSWORD)
    def test_wrong_secret(self, key):
        volume_id = self.cloud.volume()
        data = self.cloud.attach(volume_id, True)
        log = attaching.LogCatcher(self)
        data[key] = 'wrongwrongwrong1'
        with self.assertRaises(exception.LoginError) as caught:
            ours(False).connect_volume(data)
        print(f'\n{caught.exception}', file=sys.stderr)
        # 24 where the target refuses us, 19 where we refuse the target.
        self.assertRegex(str(caught.exception), 'failed: (24|19) - ')
        self.assertNotIn('wrongwrongwrong1', str(caught.exception))
        self.assertNotIn('wrongwrongwrong1', log.text)
        self.assert_nothing_left()

    def test_changed_secret(self):
        """A record that was left there has the old secret."""
        attachment = self.attach()
        base.run('iscsiadm', '-m', 'session', '--logout')
        record, = (p for p in Path('/etc/iscsi/nodes').rglob('*')
                   if p.is_file())
        password = attachment.data['auth_password']
        text = record.read_text()
        self.assertIn(password, text)
        record.write_text(text.replace(password, 'oldoldoldold1'))
        again = self.attach(volume_id=attachment.volume_id)
        self.assert_is(again.path, again.volume_id)
        self.detach(again)
        self.assert_nothing_left()


@ddt.ddt
class IdentityTest(attaching.AttachTestCase):
    """No device that is not the volume is ever returned."""

    @ddt.data(False, True)
    def test_other_volume_under_the_lun(self, multipath):
        if multipath:
            self.start_multipathd()
        volume_id, other_id = self.neighbours()
        data = self.cloud.attach(volume_id, True)
        self.cloud.swap(volume_id, other_id)
        with self.assertRaises(exception.WrongDevice) as caught:
            ours(multipath).connect_volume(data)
        print(f'\n{caught.exception}', file=sys.stderr)
        self.assertIn(model.naa_id(other_id), str(caught.exception))
        self.assert_nothing_left()

    def test_other_volume_under_the_lun_of_a_device_that_is_there(self):
        volume_id, other_id = self.neighbours()
        attachment = self.attach(volume_id=volume_id)
        self.cloud.swap(volume_id, other_id)
        # The kernel still shows the old volume's name.
        wwid = Path('/sys/block', Path(attachment.path).name, 'device/wwid')
        self.assertEqual(f'naa.{model.naa_id(volume_id)}',
                         wwid.read_text().strip())
        with self.assertRaises(exception.WrongDevice):
            ours(False).connect_volume(attachment.data)
        self.assert_nothing_left()

    def test_old_device_of_a_released_lun(self):
        old_id, new_id = self.neighbours()
        old = self.attach(volume_id=old_id)
        self.cloud.swap(old_id, new_id)      # never disconnected
        data = {**self.cloud.attach(new_id, True),
                'target_lun': old.data['target_lun'],
                'target_luns': old.data['target_luns']}
        connector = ours(False)
        new = Attachment(new_id, data, connector,
                         connector.connect_volume(data))
        self.assert_is(new.path, new_id)
        old.disconnect()                     # too late: it is another's now
        self.assert_is(new.path, new_id)
        new.disconnect()
        self.assert_nothing_left()

    def test_another_volumes_working_device_is_left_alone(self):
        volume_id, other_id = self.neighbours()
        other = self.attach(volume_id=other_id)
        wrong = {**self.cloud.attach(volume_id, True),
                 'target_lun': other.data['target_lun'],
                 'target_luns': other.data['target_luns']}
        with self.assertRaises(exception.WrongDevice):
            ours(False).connect_volume(wrong)
        self.assert_is(other.path, other_id)
        self.detach(other)
        self.assert_nothing_left()

    def test_lun_that_is_not_mapped(self):
        volume_id = self.cloud.volume()
        data = self.cloud.attach(volume_id, True)
        self.cloud.unmap_behind(volume_id)
        self.enterContext(mock.patch.object(devices, 'DEVICE_TIMEOUT_S', 4))
        with self.assertRaises(exception.DeviceNotFound) as caught:
            ours(False).connect_volume(data)
        print(f'\n{caught.exception}', file=sys.stderr)
        self.assert_nothing_left()

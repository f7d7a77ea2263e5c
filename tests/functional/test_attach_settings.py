# SPDX-License-Identifier: Apache-2.0
"""Settings that change under a session: it logs in again after a fault."""

from pathlib import Path
import subprocess
import time
from unittest import mock

from lab import process
from mydriver import model
from mydriver.target import configfs, factory, pool
from mydriver.target import lio as target
from tests.fakes import devices
from tests.functional import attaching, base, lio

SESSIONS = Path('/sys/class/iscsi_session')


#: The kernel lets commands wait for a session for 120 s, and then fails them.
READ_TIMEOUT_S = 150
#: Longer than open-iscsi takes until it tries to log in again.
PAUSE_S = 5


def _slowly(verb):
    """Return a method that pauses before it does something."""
    def pause(*args, **kwargs):
        time.sleep(PAUSE_S)
        return verb(*args, **kwargs)

    return pause


class SettingsTest(attaching.AttachTestCase):
    """cinder-volume starts with other settings while a guest writes."""

    def restart(self, *, chap=True, portals=attaching.PORTALS):
        """Restart the service with these settings."""
        self.cloud.service._journal.close()
        self.cloud.service = factory.build(pool.Settings(
            'be', 'iqn.2010-10.org.openstack:', portals, chap,
            str(self.cloud.folder), discovery_timeout_s=5.0),
            devices.FolderDevices(self.cloud.folder))
        self.cloud.service.check()
        self.cloud.service.reconciler.start()

    @staticmethod
    def states():
        return {(s / 'state').read_text().strip()
                for s in SESSIONS.iterdir()}

    def wait_for(self, wanted, what):
        process.wait_for(lambda: self.states() == wanted, what, 60)

    def break_sessions(self):
        """Break the network for a while."""
        base.run('ip', 'link', 'set', 'lo', 'down')
        self.addCleanup(base.run, 'ip', 'link', 'set', 'lo', 'up')
        process.wait_for(lambda: 'LOGGED_IN' not in self.states(),
                         'the sessions to break', 60)
        base.run('ip', 'link', 'set', 'lo', 'up')

    def assert_it_logs_in_again(self, attachment):
        self.break_sessions()
        self.wait_for({'LOGGED_IN'}, 'the sessions to come back')
        self.assert_is(attachment.path, attachment.volume_id)
        self.detach(attachment)
        # Anew, by the settings of now.
        again = self.attach(volume_id=attachment.volume_id)
        self.assert_is(again.path, again.volume_id)
        return again

    def use_chap(self, chap):
        """Start over, with CHAP or not."""
        lio.clear()
        for path in self.cloud.folder.glob('*'):
            if path.is_file():
                path.unlink()
        self.restart(chap=chap)

    def test_chap_turned_on(self):
        self.use_chap(False)
        attachment = self.attach()
        self.assertNotIn('auth_method', attachment.data)
        self.restart(chap=True)
        again = self.assert_it_logs_in_again(attachment)
        self.assertEqual('CHAP', again.data['auth_method'])
        self.detach(again)
        self.assert_nothing_left()

    def test_chap_turned_off(self):
        attachment = self.attach()
        self.restart(chap=False)
        again = self.assert_it_logs_in_again(attachment)
        self.assertNotIn('auth_method', again.data)
        self.detach(again)
        self.assert_nothing_left()

    def test_a_new_key(self):
        attachment = self.attach()
        (self.cloud.folder / 'chap.key').unlink()
        self.restart()
        again = self.assert_it_logs_in_again(attachment)
        self.assertNotEqual(attachment.data['auth_password'],
                            again.data['auth_password'])
        self.detach(again)
        self.assert_nothing_left()

    def test_other_portals_and_a_boot(self):
        attachment = self.attach()
        lio.clear()
        self.restart(portals=(model.Portal('127.0.0.3'),))
        self.wait_for({'LOGGED_IN'}, 'the sessions to come back')
        self.assert_is(attachment.path, attachment.volume_id)
        self.detach(attachment)
        self.assert_nothing_left()

    def test_a_boot_with_two_volumes(self):
        """Commands to a volume wait until its LUN is back."""
        attachments = [self.attach(volume_id=volume_id)
                       for volume_id in self.neighbours()]
        self.assertEqual(1, len(base.sessions()))
        lio.clear()
        readers = [subprocess.Popen(
            ['dd', f'if={attachment.path}', 'of=/dev/null', 'bs=4096',
             'count=1', 'iflag=direct'], stderr=subprocess.PIPE, text=True)
            for attachment in attachments]
        with mock.patch.object(target.LioTarget, 'ensure_mapping', _slowly(
                target.LioTarget.ensure_mapping)):
            self.restart()
        said = [reader.communicate(timeout=READ_TIMEOUT_S)[1]
                for reader in readers]
        self.assertEqual([0, 0], [r.returncode for r in readers], said)
        for attachment in attachments:
            self.assert_is(attachment.path, attachment.volume_id)
            self.detach(attachment)
        self.assert_nothing_left()

    def test_a_host_is_renamed_again_and_again(self):
        attachment = self.attach()
        for n in range(3):
            with mock.patch('socket.gethostname',
                            return_value=f'renamed{n}'):
                self.restart()
            # The one in use, and those of the name of now.
            self.assertEqual(5, len(configfs.names()), configfs.names())
        self.break_sessions()
        self.wait_for({'LOGGED_IN'}, 'the sessions to come back')
        self.assert_is(attachment.path, attachment.volume_id)
        self.detach(attachment)
        self.assert_nothing_left()

# SPDX-License-Identifier: Apache-2.0
"""The operator's command after a boot, when the kernel target is empty."""

import contextlib
import hashlib
import json
import os
from pathlib import Path
import shutil
import subprocess
import sys
import tempfile
import textwrap
import uuid

from mydriver import discovery, model
from mydriver.cmd import backends
from mydriver.stores import names
from mydriver.target import configfs, factory, pool
from tests.fakes import connecting
from tests.fakes import devices as fake_devices
from tests.functional import base, lio

INITIATOR = 'iqn.1993-08.org.debian:01:host'
NOBODY = 65534
MIB = 1024 ** 2

CONF = """
    [DEFAULT]
    state_path = {folder}/state
    enabled_backends = disks
    [disks]
    volume_driver = mydriver.cinder_volume.driver.LIODriver
    target_ip_address = 127.0.0.1
    use_chap_auth = True
    {place}
"""


class CommandTest(base.NodeTestCase):
    """``restore`` and ``status``, started as by an operator or systemd."""

    #: The options that name the store.
    place = 'mydriver_store_path = {folder}/store'

    def setUp(self):
        super().setUp()
        lio.use(self)
        self.folder = Path(tempfile.mkdtemp(dir='/run'))
        self.addCleanup(shutil.rmtree, self.folder)
        self.folder.chmod(0o755)
        self.make_place()
        self.addCleanup(lio.clear)
        self.conf = self.folder / 'cinder.conf'
        self.conf.write_text(textwrap.dedent(CONF).format(
            folder=self.folder, place=self.place.format(folder=self.folder)))
        self.backend, = backends.read([str(self.conf)])

    def make_place(self):
        """Create the store's filesystem."""
        self.mount_xfs(self.folder / 'store')

    def make_volume(self, volume_id):
        """Make the file of a new volume."""
        path = self.folder / 'store' / names.volume_name(volume_id)
        with path.open('w') as f:
            f.truncate(64 * MIB)

    def devices(self):
        """Return the devices of the store."""
        return fake_devices.FolderDevices(self.folder / 'store')

    def lose_volume(self):
        """Remove a volume's backing; return the volume's id."""
        lost = next((self.folder / 'store').glob('volume-*'))
        lost.unlink()
        return lost.name.removeprefix('volume-')

    def boot(self):
        """Leave the host as a boot does."""
        lio.clear()

    def run_command(self, *argv):
        """Run a command; return its exit status and output."""
        program = Path(sys.executable).parent / 'mydriver'
        done = subprocess.run(
            [program, *argv, '--config-file', self.conf], text=True,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False,
            timeout=120)
        return done.returncode, done.stdout

    def fill(self):
        """Export three volumes, two of them mapped; return the secrets."""
        exports = factory.build(self.backend.settings, self.devices())
        exports.reconciler.start()
        secrets = []
        for i in range(3):
            volume_id = str(uuid.uuid4())
            self.make_volume(volume_id)
            exports.create_export(volume_id)
            if i:
                data = connecting.connect(exports, volume_id,
                                          {'initiator': INITIATOR})
                secrets.append(data['auth_password'])
        exports._journal.close()
        return secrets

    def seen(self):
        """Return the pool's targets as the kernel has them."""
        return [configfs.target(t)
                for t in pool.pool(self.backend.settings)]

    def give_to(self, user):
        """Give state and store to a user, as with a packaged Cinder.

        The user must also be able to reach the programs, and the clone may be
        below /root. The node's directories are its own.
        """
        for folder in Path(sys.prefix).parents:
            if folder.stat().st_mode & 0o111 != 0o111:
                folder.chmod(folder.stat().st_mode | 0o111)
        for top in ('state', 'store'):
            for path in (self.folder / top, *(
                    self.folder / top).rglob('*')):
                os.chown(path, user, user)

    def restored_for(self, user):
        """Restore after a boot, with the state owned by a user."""
        secrets = self.fill()
        self.give_to(user)
        before = self.seen()
        self.boot()
        status, out = self.run_command('restore', '-v')
        self.assertEqual(0, status, out)
        self.assertEqual(before, self.seen())
        self.assertEqual(
            {user}, {p.stat().st_uid for p in (
                self.folder / 'state').rglob('*')}, 'files of another user')
        return out, secrets

    def states(self):
        """Return exit status, states by part, and output of ``status``."""
        status, out = self.run_command('status', '-f', 'json')
        return status, {row['Part']: row['State']
                        for row in json.loads(out)}, out

    def test_status_before_the_first_start(self):
        """What cinder-volume makes when it first starts is not missed."""
        status, out = self.run_command('status')
        self.assertEqual(0, status, out)
        self.assertIn('cinder-volume creates them when it starts', out)

    def test_state_owned_by_root(self):
        self.restored_for(0)
        self.assertEqual(0, self.states()[0])
        lio.clear()
        status, states, _ = self.states()
        self.assertEqual(1, status)
        self.assertEqual(
            {'store': 'ok', 'host': 'wrong', 'targets': 'wrong',
             'exports': 'wrong', 'mappings': 'wrong'}, states)

    def test_an_address_that_is_late_at_boot(self):
        self.fill()
        text = self.conf.read_text().replace(
            '= 127.0.0.1\n',
            '= 127.0.0.1\ntarget_secondary_ip_addresses = 192.0.2.7\n')
        self.conf.write_text(text)
        before = [(t.exports, t.mappings) for t in self.seen()]
        self.boot()
        status, out = self.run_command('restore')
        self.assertEqual(0, status, out)
        self.assertIn('target_secondary_ip_addresses: 192.0.2.7', out)
        self.assertEqual(before, [(t.exports, t.mappings)
                                  for t in self.seen()])
        status, states, out = self.states()
        self.assertEqual((0, 'warning'), (status, states['host']), out)
        self.assertIn('Not served: 192.0.2.7:3260', out)

    def test_the_only_address_is_late_at_boot(self):
        self.fill()
        self.conf.write_text(self.conf.read_text().replace(
            '= 127.0.0.1\n', '= 192.0.2.7\n'))
        before = [(t.exports, t.mappings) for t in self.seen()]
        self.boot()
        status, out = self.run_command('restore')
        self.assertEqual(0, status, out)
        self.assertIn('none of the addresses: 192.0.2.7', out)
        self.assertEqual(before, [(t.exports, t.mappings)
                                  for t in self.seen()])
        subprocess.run(['ip', 'address', 'add', '192.0.2.7/32', 'dev', 'lo'],
                       check=True)
        self.addCleanup(subprocess.run, [
            'ip', 'address', 'del', '192.0.2.7/32', 'dev', 'lo'])
        target = next(t.iqn for t in self.seen() if t.mappings)
        self.assertIn(target, discovery.discover(
            model.Portal('192.0.2.7'), model.Iqn(INITIATOR), 5.0))

    def test_the_state_is_on_a_full_filesystem(self):
        self.fill()
        state = Path(self.backend.state_path)
        kept = state.rename(self.folder / 'kept')
        state.mkdir(mode=0o700)
        subprocess.run(['mount', '-t', 'tmpfs', '-o', 'size=1m', 'tmpfs',
                        str(state)], check=True)
        self.addCleanup(subprocess.run, ['umount', str(state)])
        shutil.copytree(kept, state, dirs_exist_ok=True)
        with contextlib.suppress(OSError), \
                (state / 'full').open('wb', 0) as f:
            while f.write(bytes(4096)):
                pass
        before = self.seen()
        self.boot()
        status, out = self.run_command('restore')
        self.assertEqual(1, status, out)
        self.assertIn('Make room in', out)
        self.assertEqual(before, self.seen())
        (state / 'full').unlink()
        status, _, out = self.states()
        self.assertEqual(0, status, out)

    def test_a_link_in_place_of_the_state(self):
        self.fill()
        self.give_to(NOBODY)
        state = Path(self.backend.state_path)
        away = state.rename(f'{state}.away')
        os.chown(away, 0, 0)
        state.symlink_to(away)
        os.lchown(state, NOBODY, NOBODY)
        files = sorted(away.iterdir())
        self.boot()
        status, out = self.run_command('restore')
        self.assertEqual(1, status, out)
        self.assertIn(f'disks in it is a link to {away}', out)
        self.assertEqual([None] * 4, self.seen())
        self.assertEqual(files, sorted(away.iterdir()))

    def test_state_owned_by_the_cinder_user(self):
        restored, secrets = self.restored_for(NOBODY)
        before = self.seen()
        status, again = self.run_command('restore', '-v')
        self.assertEqual((0, before), (status, self.seen()), again)
        status, shown = self.run_command('show')
        self.assertEqual(0, status, shown)
        self.assertEqual(2, shown.count(INITIATOR))
        for secret in secrets:
            self.assertNotIn(secret, restored + again + shown)

    def files(self):
        """Return the files of state and store with digests of them.

        Left out are sqlite's shared memory, which each reader changes, and an
        empty write-ahead log, which a reader creates.
        """
        found = {}
        for top in ('state', 'store'):
            for path in (self.folder / top).rglob('*'):
                if not path.is_file() or path.name.endswith('-shm') or (
                        path.name.endswith('-wal')
                        and not path.stat().st_size):
                    continue
                with path.open('rb') as f:
                    found[path] = hashlib.file_digest(f, 'sha256').hexdigest()
        return found

    def test_status_and_show_change_nothing(self):
        self.fill()
        before = self.files(), self.seen()
        self.assertEqual(0, self.states()[0])
        self.assertEqual(0, self.run_command('show')[0])
        self.assertEqual(before, (self.files(), self.seen()))

    def test_a_lost_volume_does_not_affect_the_others(self):
        self.fill()
        lost = self.lose_volume()
        self.boot()
        status, out = self.run_command('restore')
        self.assertEqual(1, status, out)
        self.assertIn(lost, out)
        self.assertEqual(2, sum(len(t.exports) for t in self.seen()))

# SPDX-License-Identifier: Apache-2.0
"""Damage to the store and the exports of a storage host, and its remedies."""

import os
from pathlib import Path
import shutil
import uuid

from oslo_config import cfg

from mydriver.cmd import backends
from mydriver.stores import names
from mydriver.target import configfs, factory
from tests.fakes import connecting
from tests.fakes import devices as fake_devices
from tests.functional import base, doctoring, lio
from tests.functional.doctoring import (
    ADDRESS,
    CINDER_CONF,
    MOUNT,
    STORE,
    Damage,
)

PARENT = Path('/var/lib/cinder')
STATE = PARENT / 'mydriver/files'
INITIATOR = 'iqn.1993-08.org.debian:01:host'
MIB = 1024 ** 2


class ExportsTest(doctoring.StorageCase):
    """The store before there are volumes, and exports in use."""

    def test_each_damage_and_its_remedy(self):
        self.carry_out(self.examine()[0])
        self.go_through(*([d] for d in self.store()))
        self.fill()
        state, kernel = self.state(), self.kernel()
        self.go_through(
            [state['mode'], kernel['address']],
            [state['owner'], state['orphan']],
            [state['store'], kernel['portal']],
            [kernel['mapping'], kernel['pr']],
            [kernel['cleared']])
        self.fix()

    def store(self):
        """Return damage to the store, before it has volumes."""
        editor = doctoring.script('editor', (
            'truncate -s 1G /srv/other.img && mkfs.xfs -q /srv/other.img && '
            f'echo /srv/other.img {STORE} xfs loop 0 0 >> "$1"'))
        return [
            Damage('a store that is not mounted',
                   lambda: base.run('umount', MOUNT),
                   [('backend-status', 'error')], 'does not exist'),
            Damage('the folder of the volumes is missing', STORE.rmdir,
                   [('backend-status', 'error')], 'does not exist'),
            Damage('a filesystem without reflinks', self.lose_reflinks,
                   [('backend-status', 'error')], 'share extents',
                   editor=editor, undo=self.put_store_back),
        ]

    def lose_reflinks(self):
        """Put another filesystem there."""
        base.run('modprobe', 'loop')  # for the one of the operator
        base.run('mount', '-t', 'tmpfs', '-o', 'mode=0777', 'tmpfs', STORE)

    def put_store_back(self):
        """Take away what the operator has mounted."""
        self.assertEqual([], self.examine()[0])
        base.run('umount', STORE)
        base.run('umount', STORE)
        doctoring.edit('/etc/fstab',
                       f'/srv/other.img {STORE} xfs loop 0 0\n', '')

    def fill(self):
        """Export two volumes, one of them mapped; the state is cinder's."""
        cfg.CONF(['--config-file', str(CINDER_CONF)], project='mydriver')
        backend, = backends.read([str(CINDER_CONF)])
        PARENT.mkdir(exist_ok=True)
        service = factory.build(backend.settings,
                                fake_devices.FolderDevices(STORE))
        service.reconciler.start()
        for is_mapped in (True, False):
            volume_id = str(uuid.uuid4())
            path = STORE / names.volume_name(volume_id)
            with path.open('w') as file:
                file.truncate(64 * MIB)
            shutil.chown(path, 'cinder', 'cinder')
            service.create_export(volume_id)
            if is_mapped:
                connecting.connect(service, volume_id,
                                   {'initiator': INITIATOR})
        service._journal.close()
        base.run('chown', '-R', 'cinder:', PARENT, STORE)

    def state(self):
        """Return damage to the state and the store of volumes in use."""
        return {
            'mode': Damage(
                'state that others can read', lambda: STATE.chmod(0o755),
                [('state-folder', 'error')], 'has mode 0755'),
            'owner': Damage(
                'a journal of root',
                lambda: shutil.chown(STATE / 'journal.sqlite', 'root'),
                [('state-folder', 'error')]
                + [('backend-status', 'error')] * 2, 'belongs to user id 0'),
            'orphan': Damage(
                'the state of a backend that is gone',
                lambda: base.run('cp', '-a', STATE, STATE.parent / 'old'),
                [('backends', 'warning')], 'not an enabled'),
            'store': Damage(
                'a store of another user', lambda: shutil.chown(STORE, 'root'),
                [('backend-status', 'error')], 'cannot be written'),
        }

    def kernel(self):
        """Return damage to the kernel's target."""
        return {
            'address': Damage(
                'an address that is gone',
                lambda: base.run('ip', 'address', 'del', f'{ADDRESS}/32',
                                 'dev', 'lo'),
                [('portals', 'error'), ('backend-status', 'error')],
                'does not have the address', mends=False,
                undo=lambda: base.run('ip', 'address', 'add', f'{ADDRESS}/32',
                                      'dev', 'lo')),
            'portal': Damage(
                'a portal that was removed',
                lambda: self.remove('tpgt_1/np/*'),
                [('portals', 'error'), ('backend-status', 'error')],
                'does not answer'),
            'mapping': Damage(
                'a mapping that was removed',
                lambda: self.remove('tpgt_1/acls/*/lun_*'),
                [('backend-status', 'error')], '1 of 1 missing'),
            'cleared': Damage(
                'all was cleared', lio.clear,
                [('backend-status', 'error')] * 4, 'missing in the kernel'),
            'pr': Damage(
                "the target's own directory is missing",
                lambda: shutil.rmtree(f'{configfs.database()}/pr'),
                [('target-dbroot', 'error'), ('backend-status', 'error')],
                'pr does not exist'),
        }

    @staticmethod
    def remove(what):
        """Remove objects of the targets by hand."""
        for path in (configfs.ROOT / 'iscsi').glob(f'iqn.*/{what}'):
            for link in path.iterdir():
                if link.is_symlink():
                    link.unlink()
            path.rmdir()

    def fix(self):
        """Let the command mend the state; it leaves the kernel alone."""
        STATE.chmod(0o755)
        os.chown(STATE / 'chap.key', 0, 0)
        self.remove('tpgt_1/acls/*/lun_*')
        found, said = self.examine('--fix')
        self.assertEqual([('backend-status', False)],
                         [(f['Check'], f['Fixable']) for f in found])
        self.assertIn(f'fix: state-folder: chmod 0700 {STATE}', said)
        self.assertIn(f'chown cinder: {STATE}/chap.key', said)
        self.carry_out(found)
        self.assertEqual([], self.examine()[0])

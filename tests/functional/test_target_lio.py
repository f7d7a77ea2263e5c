# SPDX-License-Identifier: Apache-2.0
"""LIO passes the target's contract on the real kernel."""

import os
from pathlib import Path
import tempfile
import unittest

from lab import process
from mydriver import exception, model
from mydriver.target import chap, configfs
from mydriver.target import lio as target
from tests.contract import target as contract
from tests.functional import base, lio


class LioTargetTest(contract.TargetContract, unittest.TestCase):
    """The same suite as the fake's, and what only a kernel can show."""

    def setUp(self):
        super().setUp()
        lio.use(self)
        folder = tempfile.TemporaryDirectory(dir='/var/tmp')
        self.addCleanup(folder.cleanup)
        self.folder = folder.name
        lio.grant(self, contract=folder.name)
        self.addCleanup(lio.clear)
        self.target = target.LioTarget('contract', contract.PORTALS, True)
        self.target.ensure_pool([contract.IQN])

    def make_stranger(self, iqn):
        configfs.ROOT.joinpath('iscsi', str(iqn), 'tpgt_1').mkdir(
            parents=True)

    def log_in(self, initiator):
        secret = self.secrets()
        iface = ('iscsiadm', '-m', 'iface', '-I', 'contract')
        base.run(*iface, '-o', 'new')
        base.run(*iface, '-o', 'update', '-n', 'iface.initiatorname', '-v',
                 str(initiator))
        node = (*self.node(), '-I', 'contract')
        base.run(*node, '-o', 'new')
        for name, value in (('authmethod', 'CHAP'),
                            ('username', secret.username),
                            ('password', secret.password)):
            base.run(*node, '-o', 'update', '-n', f'node.session.auth.{name}',
                     '-v', value)
        base.run(*node, '--login')

    def log_out(self, initiator):
        base.run(*self.node(), '--logout')
        base.run(*self.node(), '-o', 'delete')
        base.run('iscsiadm', '-m', 'iface', '-I', 'contract', '-o', 'delete')
        info = self.tpg('acls', str(initiator), 'info')
        process.wait_for(lambda: 'No active' in info.read_text(),
                         'the session to end at the target', 30)

    @staticmethod
    def node():
        return ('iscsiadm', '-m', 'node', '-T', str(contract.IQN), '-p',
                str(contract.PORTALS[0]))

    def tpg(self, *parts: str) -> Path:
        return configfs.ROOT.joinpath(
            'iscsi', str(contract.IQN), 'tpgt_1', *parts)

    def password(self, initiator=contract.INITIATOR):
        return self.tpg('acls', str(initiator), 'auth/password'
                        ).read_text().strip()

    def test_attributes(self):
        self.assertEqual(
            {'authentication': '1', 'generate_node_acls': '0',
             'demo_mode_discovery': '0', 'cache_dynamic_acls': '0'},
            {n: self.tpg('attrib', n).read_text().strip() for n in (
                'authentication', 'generate_node_acls',
                'demo_mode_discovery', 'cache_dynamic_acls')})

    def time_to_wait(self):
        """Return what the target says of it, seconds."""
        return self.tpg('param/DefaultTime2Wait').read_text().strip()

    def test_initiators_wait_before_they_log_in_again(self):
        self.assertEqual('2', self.time_to_wait())
        # As an earlier release left it.
        self.tpg('param/DefaultTime2Wait').write_text('0')
        self.target.ensure_pool([contract.IQN])
        self.assertEqual('2', self.time_to_wait())

    def test_initiators_do_not_wait_for_addresses_that_float(self):
        target.LioTarget('be', (), chap=True,
                         portals_of=lambda _target: contract.PORTALS
                         ).ensure_pool([contract.IQN])
        self.assertEqual('0', self.time_to_wait())

    def test_changed_attributes_are_put_right(self):
        self.tpg('attrib/generate_node_acls').write_text('1')
        self.target.ensure_pool([contract.IQN])
        self.assertEqual('0', self.tpg(
            'attrib/generate_node_acls').read_text().strip())

    def test_a_target_that_is_stopped_listens_nowhere(self):
        self.tpg('enable').write_text('0')
        self.assertEqual(frozenset(), self.target.listening(contract.IQN))
        self.target.ensure_pool([contract.IQN])
        self.tpg('np/127.0.0.1:3260').rmdir()
        self.assertEqual({'127.0.0.2:3261'},
                         self.target.listening(contract.IQN))
        self.target.ensure_pool([contract.IQN])
        self.assertEqual(2, len(self.target.listening(contract.IQN)))

    def test_backstore_attributes(self):
        export = self.export()
        self.target.ensure_export(export)
        store = next(p for p in self.tpg('lun/lun_0').iterdir()
                     if p.is_symlink()).resolve()
        self.assertEqual(
            {'emulate_tpu': '1', 'emulate_tpws': '1', 'emulate_3pc': '0',
             'emulate_write_cache': '1'},
            {n: (store / 'attrib' / n).read_text().strip() for n in (
                'emulate_tpu', 'emulate_tpws', 'emulate_3pc',
                'emulate_write_cache')})
        self.assertIn('Mode: Buffered-WCE', (store / 'info').read_text())

    def test_half_made_backstore_is_made_anew(self):
        export = self.export()
        name = self.target.name_prefix + export.volume_id
        self.target.ensure_export(export)
        store = next(p for p in self.tpg('lun/lun_0').iterdir()
                     if p.is_symlink()).resolve()
        self.target.drop_export(export)
        store.mkdir(parents=True)  # the crash: made, not configured
        self.target.ensure_export(export)
        self.assertEqual([name], [e.name for e in self.seen().exports])

    def test_lun_folder_without_link_is_completed(self):
        export = self.export()
        self.tpg('lun/lun_0').mkdir()
        self.target.ensure_export(export)
        self.assertEqual([export.volume_id],
                         [e.serial for e in self.seen().exports])

    def test_nothing_is_left_in_core(self):
        before = sorted(os.listdir(configfs.ROOT / 'core'))
        export = self.export()
        self.target.ensure_mapping(self.mapped(export))
        self.assertNotEqual(before, sorted(os.listdir(
            configfs.ROOT / 'core')))
        self.target.drop_mapping(self.mapped(export))
        self.target.drop_export(export)
        self.assertEqual(before, sorted(os.listdir(configfs.ROOT / 'core')))

    def test_an_export_that_is_refused_leaves_no_backstore(self):
        self.target.ensure_export(self.export())
        before = lio.dump()
        for _ in range(2):
            self.assertRaises(exception.ForeignObject,
                              self.target.ensure_export, self.export())
            self.assertEqual(before, lio.dump())

    def test_secret_is_in_configfs_and_in_no_error(self):
        export = self.export()
        credentials = chap.ChapKey(b'k' * 32).credentials(
            contract.INITIATOR, contract.IQN, False)
        self.target.ensure_mapping(self.mapped(export), credentials)
        secret = credentials.password
        self.assertEqual(secret, self.password())
        with self.assertRaises(exception.ForeignObject) as caught:
            self.target.ensure_mapping(self.mapped(self.export(1)),
                                       credentials)
        self.assertNotIn(secret, repr(caught.exception)
                         + str(caught.exception))

    def test_portal_of_another_host_is_refused(self):
        strange = target.LioTarget('contract', [model.Portal('192.0.2.1')],
                                   False)
        with self.assertRaises(exception.ConfigurationError) as caught:
            strange.check()
        self.assertEqual('target_ip_address', caught.exception.option)
        self.assertIn('192.0.2.1', str(caught.exception))


if __name__ == '__main__':
    unittest.main()

# SPDX-License-Identifier: Apache-2.0
"""Attach and detach through the privileged daemon, as nova-compute does."""

import os
from pathlib import Path
import sys

from oslo_config import cfg

from mydriver import exception, privileged
from mydriver.connection import iscsi
from tests.functional import attaching, base
from tests.functional.attaching import ours


class DaemonTest(attaching.AttachTestCase):
    """The verbs have no more than the context's capabilities."""

    def setUp(self):
        super().setUp()
        context = privileged.initiator_context
        context.set_client_mode(True)
        helper = Path(sys.executable).with_name('privsep-helper')
        cfg.CONF.set_override('helper_command', f'{helper} --debug',
                              context.cfg_section)
        self.addCleanup(cfg.CONF.clear_override, 'helper_command',
                        context.cfg_section)
        self.addCleanup(context.stop)

    def daemon(self):
        """Return the status of the daemon's process, by field."""
        for pid, command in base.command_lines():
            if (b'mydriver.privileged.initiator_context' in command
                    and pid != os.getpid()):
                status = Path('/proc', str(pid), 'status').read_text()
                return dict(line.split(':\t', 1)
                            for line in status.splitlines())
        raise AssertionError('no daemon runs')

    def test_attach_and_detach(self):
        log = attaching.LogCatcher(self)
        attachment = self.attach()
        self.assert_is(attachment.path, attachment.volume_id)
        # CAP_SYS_ADMIN (21) and CAP_DAC_OVERRIDE (1).
        self.assertEqual(1 << 21 | 1 << 1, int(self.daemon()['CapEff'], 16))
        self.cloud.grow(attachment.volume_id, 64 * attaching.MIB)
        self.assertEqual(64 * attaching.MIB, ours(False).extend_volume(
            attachment.data))
        self.detach(attachment)
        self.assert_nothing_left()
        chap = iscsi.Connection.parse(attachment.data).chap
        self.assertIn('privsep', log.text)
        for secret in (chap.password, chap.mutual_password):
            self.assertNotIn(secret, log.text)

    def test_multipath(self):
        self.start_multipathd()
        attachment = self.attach(multipath=True)
        self.assertEqual(2, len(attaching.slaves(attachment.path)))
        self.assert_is(attachment.path, attachment.volume_id)
        self.detach(attachment)
        self.assert_nothing_left()

    def test_errors_come_back_as_they_were(self):
        data = self.cloud.attach(self.cloud.volume(), True)
        data['auth_password'] = 'wrongwrongwrong1'
        with self.assertRaises(exception.LoginError) as caught:
            ours(False).connect_volume(data)
        self.assertIn('authorization failure', str(caught.exception))
        self.assert_nothing_left()

    def test_daemon_that_was_killed(self):
        attachment = self.attach()
        os.kill(int(self.daemon()['Pid']), 9)
        self.detach(attachment)
        self.assert_nothing_left()

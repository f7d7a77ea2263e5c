# SPDX-License-Identifier: Apache-2.0
"""A cinder.conf with backends of this driver, and the commands run on it."""

import io
import logging
import os
from pathlib import Path
import shutil
import tempfile
import textwrap
import unittest
from unittest import mock
import uuid

from oslo_config import cfg

from mydriver import model, privileged
from mydriver.cmd import backends, main, rivals
from mydriver.target.journal import sqlite as journals
from tests.fakes import target as fake_target

FIRST, SECOND = (str(uuid.UUID(int=n)) for n in (1, 2))
HOST = model.Iqn('iqn.1993-08.org.debian:01:host')
TARGET = model.Iqn('iqn.2010-10.org.openstack:mydriver-host-disks-0')

NOBODY = 65534

CONF = """
    [DEFAULT]
    state_path = {folder}/state
    my_ip = 192.0.2.1
    enabled_backends = disks,lvm,plain
    [backend_defaults]
    mydriver_targets = 8
    use_chap_auth = True
    [disks]
    volume_driver = mydriver.cinder_volume.driver.LIODriver
    target_secondary_ip_addresses = 192.0.2.2,2001:db8::1
    target_port = 3261
    use_chap_auth = False
    mydriver_store_path = {folder}/store
    [lvm]
    volume_driver = cinder.volume.drivers.lvm.LVMVolumeDriver
    [plain]
    volume_driver = mydriver.cinder_volume.driver.LIODriver
    [off]
    volume_driver = mydriver.cinder_volume.driver.LIODriver
"""


class ConfTestCase(unittest.TestCase):
    """A test with its own cinder.conf."""

    def setUp(self) -> None:
        """Write the configuration."""
        super().setUp()
        self.folder = tempfile.mkdtemp(prefix='mydriver-')
        self.addCleanup(shutil.rmtree, self.folder)
        self.conf = os.path.join(self.folder, 'cinder.conf')
        self.write(CONF)
        self.addCleanup(cfg.CONF.clear)

    def write(self, text: str) -> None:
        """Replace cinder.conf.

        :param text: its contents, indented; ``{folder}`` is replaced.
        """
        with open(self.conf, 'w') as f:
            f.write(textwrap.dedent(text).format(folder=self.folder))

    def read(self, *names: str) -> dict[str, backends.Backend]:
        """Return the backends by name.

        :param names: of the wanted ones; none for all that are enabled.
        """
        return {b.name: b for b in backends.read([self.conf], names)}


class CommandTestCase(ConfTestCase):
    """A test with a backend, its state directory and a target in memory."""

    def setUp(self) -> None:
        """Read the backend and create its state directory."""
        super().setUp()
        self.backend = self.read()['disks']
        os.makedirs(os.path.dirname(self.backend.journal_path))
        self.target = fake_target.MemoryTarget(
            'disks', self.backend.settings.portals)
        patch = mock.patch.object(rivals, 'ROOT', Path(self.folder))
        patch.start()
        self.addCleanup(patch.stop)
        # Otherwise root would run the privileged verbs in this process.
        self.addCleanup(privileged.target_context.set_client_mode, True)

    def fill(self) -> model.MappedExport:
        """Add two exports to journal and target, and map the first one.

        :returns: the mapping.
        """
        journal = journals.SqliteJournal(self.backend.journal_path, 'test')
        self.addCleanup(journal.close)
        os.makedirs(os.path.join(self.folder, 'store'), exist_ok=True)
        self.target.ensure_pool(journal.add_targets([TARGET]))
        for volume_id in (FIRST, SECOND):
            path = os.path.join(self.folder, 'store', f'volume-{volume_id}')
            with open(path, 'w') as f:
                f.truncate(1024 ** 3)
            self.target.ensure_export(journal.add_export(
                volume_id, model.BackingDevice('fileio', path, 1024 ** 3),
                TARGET))
        placed = journal.add_mapping(FIRST, HOST, read_only=False,
                                     mutual=False)
        self.target.ensure_mapping(placed)
        return placed

    def become_another_user(self) -> None:
        """Become nobody for the rest of the test; root keeps the files."""
        os.chmod(self.folder, 0o755)
        os.chmod(os.path.dirname(self.backend.journal_path), 0o700)
        os.setresuid(NOBODY, NOBODY, 0)
        self.addCleanup(os.setresuid, 0, 0, 0)

    def replace_state(self) -> list[str]:
        """Replace the state directory with another user's link to it.

        :returns: the names of the files in the directory.
        """
        self.fill()
        folder = os.path.dirname(self.backend.journal_path)
        lead = os.path.join(self.folder, 'elsewhere')
        os.rename(folder, lead)
        os.symlink(lead, folder)
        os.lchown(folder, NOBODY, NOBODY)
        return sorted(os.listdir(lead))

    def run_command(self, *argv: str) -> tuple[int, str, str]:
        """Run a command.

        :returns: its exit status, standard output and standard error.
        """
        out, err = io.StringIO(), io.StringIO()
        root = logging.getLogger()
        self.addCleanup(root.setLevel, root.level)
        self.addCleanup(setattr, root, 'handlers', list(root.handlers))
        status = main.main([*argv, '--config-file', self.conf],
                           stdout=out, stderr=err)
        return status, out.getvalue(), err.getvalue()

# SPDX-License-Identifier: Apache-2.0
"""A host in a temporary root, and commands that answer as planned."""

from collections.abc import Sequence
import os
import subprocess
import textwrap
from unittest import mock

from mydriver.doctor import common, examine, guests, kinds
from mydriver.doctor import host as hosts
from mydriver.doctor.findings import Check, Finding, Severity
from mydriver.hostfiles import catalogue, choices, installing
from tests.fakes import hostroot

MODULES = ('target_core_mod', 'iscsi_target_mod', 'target_core_file',
           'iscsi_tcp', 'dm_multipath')

CINDER_CONF = """
    [DEFAULT]
    state_path = {folder}/var/lib/cinder
    my_ip = 127.0.0.1
    enabled_backends = files
    [files]
    volume_driver = mydriver.cinder_volume.driver.LIODriver
    mydriver_store_path = {folder}/srv/mydriver
"""
NOVA_CONF = """
    [DEFAULT]
    compute_driver = mydriver.LibvirtDriver
    [libvirt]
    volume_use_multipath = true
"""

MULTIPATH_CONF = """
defaults {
\tfind_multipaths "strict"
\tuser_friendly_names "yes"
}
devices {
\tdevice {
\t\tvendor "LIO-ORG"
\t\tproduct ".*"
\t\tuser_friendly_names "no"
\t\tskip_kpartx "yes"
\t}
}
"""
INITIATOR = 'iqn.1993-08.org.debian:01:host'

#: A user that each system has.
NOBODY = 65534

#: When processes of the host were started, seconds since the epoch.
STARTED = 1_700_000_000


class DoctorTestCase(hostroot.SetupTestCase):
    """A host that is well. The services run as root, who needs no sudo."""

    OPTIONS = {'bindir': '/opt/mydriver/bin', 'user': 'root'}

    def setUp(self) -> None:
        """Make it."""
        super().setUp()
        self.bin = self.folder / 'bin'
        self.bin.mkdir()
        for patch in (mock.patch.dict(os.environ, PATH=str(self.bin)),
                      mock.patch.object(hosts, '_SBIN', ''),
                      mock.patch.object(common, 'clock_state',
                                        return_value=0)):
            patch.start()
            self.addCleanup(patch.stop)
        for name in MODULES:
            self.make(f'/sys/module/{name}')
        self.put('/proc/stat', f'cpu 1 2\nbtime {STARTED}\n')
        self.put('/proc/mounts',
                 'configfs /sys/kernel/config configfs rw,relatime 0 0\n')
        self.put('/sys/kernel/config/target/dbroot', '/etc/target')

    def make(self, path: str) -> None:
        """Make a directory."""
        (self.folder / path.lstrip('/')).mkdir(parents=True, exist_ok=True)

    def command(self, name: str, out: str = '', status: int = 0) -> None:
        """Install a command that says something; PATH has no others."""
        self.put(f'/bin/{name}', f"#!/bin/sh\necho \"$0 $*\" >> "
                 f"{self.folder}/called\n/bin/cat <<'EOF'\n{out}\nEOF\n"
                 f'exit {status}\n', 0o755)

    def process(self, name: str, pid: int) -> None:
        """Start a process."""
        self.put(f'/proc/{pid}/comm', f'{name}\n')
        self.put(f'/proc/{pid}/stat', f'{pid} ({name}) S '
                 + ' '.join(['0'] * 18) + ' 0 0 0\n')

    def storage(self, conf: str = CINDER_CONF) -> None:
        """Make a storage host that is well."""
        self.install()
        self.configure('/etc/cinder/cinder.conf', conf)

    def compute(self, conf: str = NOVA_CONF) -> None:
        """Make a compute host that is well."""
        self.install(choices.COMPUTE)
        self.configure('/etc/nova/nova.conf', conf)
        self.put('/etc/iscsi/initiatorname.iscsi',
                 f'# ours\nInitiatorName={INITIATOR}\n')
        os.utime(self.folder / 'etc/iscsi/initiatorname.iscsi',
                 (STARTED - 5, STARTED - 5))
        self.process('iscsid', 100)
        self.process('multipathd', 101)
        self.command('multipathd', MULTIPATH_CONF)
        self.make(guests.FOLDER)
        self.make(guests.DEFINITIONS)

    def configure(self, path: str, text: str) -> None:
        """Write a configuration file."""
        self.put(path, textwrap.dedent(text).format(folder=self.folder),
                 0o640)

    def activate(self, kind: str) -> None:
        """Record that the commands after an installation succeeded."""
        made = self.made(kind)
        made.activated = True
        made.save(self.root)
        wants = self.folder / 'etc/systemd/system/multi-user.target.wants'
        wants.mkdir(parents=True, exist_ok=True)
        for unit in catalogue.units(choices.choose(kind, made.options)):
            if not (wants / unit).is_symlink():
                (wants / unit).symlink_to(f'{catalogue.UNITS}/{unit}')

    def carry_out(self, remedy: str, editor: str = '') -> None:
        """Run a command that was printed, by a shell.

        :param editor: a script that edits the file in its first argument.
        """
        self.command('systemctl')
        self.put('/bin/editor', f'#!/bin/sh\n{editor}\n', 0o755)
        subprocess.run(['/bin/sh', '-e', '-c', remedy], check=True, env={
            'PATH': f'{self.bin}:/usr/sbin:/usr/bin:/sbin:/bin',
            'EDITOR': f'{self.bin}/editor'})

    def install(self, kind: str = choices.STORAGE, force: bool = False,
                **options: object) -> installing.Done:
        """Install, and record that the host uses the files."""
        done = super().install(kind, force, **options)
        self.activate(kind)
        return done

    def host(self, kind: str) -> hosts.Host:
        """Return what is examined."""
        return kinds.describe(self.folder, kind)

    def examine(self, kind: str, check_id: str, checks: Sequence[Check]
                ) -> list[Finding]:
        """Return what one check finds wrong."""
        return [f for f in examine.examine(
            self.host(kind), [c for c in checks if c.id == check_id])
            if f.severity is not Severity.OK]


# SPDX-License-Identifier: Apache-2.0
"""The page about compatibility against the versions that the tests use."""

from pathlib import Path
import re
import subprocess
import unittest

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / 'doc/source/compatibility.rst').read_text()

#: Rows with Python packages, which constraints.txt pins.
PINNED = ('rtslib-fb', 'os-brick', 'oslo.privsep')

#: Rows with Debian packages, which bootstrap installs.
INSTALLED = {
    'open-iscsi': ('open-iscsi',),
    'multipath-tools': ('multipath-tools',),
    'libvirt, QEMU': ('libvirt-daemon', 'qemu-system-x86'),
    'lvm2, thin-provisioning-tools': ('lvm2', 'thin-provisioning-tools'),
    'XFS (xfsprogs)': ('xfsprogs',),
    'Ceph': ('ceph-common',),
    'etcd': ('etcd-server',),
}


def installed(package: str) -> str:
    """Return the upstream version of an installed Debian package."""
    version = subprocess.run(
        ['dpkg-query', '-W', '-f', '${Version}', package], check=True,
        capture_output=True, text=True).stdout
    return re.split(r'[-+]', version.rpartition(':')[2])[0]


class CompatibilityPageTest(unittest.TestCase):
    """doc/source/compatibility.rst."""

    def setUp(self) -> None:
        self.rows = dict(re.findall(
            r'^   \* - (.+)\n     - (.+)\n     - ', PAGE, re.M))
        self.assertGreater(len(self.rows), 12)

    def test_python_packages_are_the_pinned_ones(self):
        pins = dict(re.findall(
            r'^(\S+)==(\S+)', (ROOT / 'constraints.txt').read_text(), re.M))
        for name in PINNED:
            self.assertEqual(pins[name.replace('.', '-')], self.rows[name])

    def test_debian_packages_are_the_installed_ones(self):
        for row, packages in INSTALLED.items():
            self.assertEqual(', '.join(map(installed, packages)),
                             self.rows[row])

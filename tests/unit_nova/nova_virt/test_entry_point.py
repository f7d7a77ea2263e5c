# SPDX-License-Identifier: Apache-2.0
"""The entry point in nova-compute, and in other users of os-vif."""

import subprocess
import sys
import tempfile
import unittest
from unittest import mock

import os_vif
from os_vif import exception

from mydriver.nova_virt import entry_point
from tests.fakes import metadata

# What an interpreter without nova does: its finder refuses the name.
NO_NOVA = '''
import sys
class NoNova:
    def find_spec(self, name, path=None, target=None):
        if name == 'nova' or name.startswith('nova.'):
            raise ModuleNotFoundError(f'No module named {name!r}', name=name)
sys.meta_path.insert(0, NoNova())
'''


def run(code: str) -> list[str]:
    """Run code in a fresh interpreter; return the lines that it printed."""
    done = subprocess.run(
        [sys.executable, '-W', 'ignore', '-c', code], capture_output=True,
        text=True, check=False, timeout=300)
    if done.returncode:
        raise AssertionError(done.stderr)
    return done.stdout.splitlines()


class EntryPointTest(unittest.TestCase):
    """What is imported, each in an interpreter of its own."""

    def test_nova_finds_the_driver(self):
        self.assertEqual(
            ['mydriver.nova_virt.driver', 'True', 'True'], run('''
import os_vif; os_vif.initialize()
import sys; before = 'nova' in sys.modules
from oslo_utils import importutils
driver = importutils.import_class('nova.virt.mydriver.LibvirtDriver')
from nova.virt.libvirt.driver import LibvirtDriver
print(driver.__module__)
print(issubclass(driver, LibvirtDriver) and driver is not LibvirtDriver)
print(not before)
'''))

    def test_nothing_of_nova_is_imported(self):
        self.assertEqual(['[]'], run('''
import os_vif; os_vif.initialize()
import sys
print([m for m in sys.modules if m.partition('.')[0] in ('nova', 'cinder')])
'''))

    def test_without_nova(self):
        self.assertEqual(
            ['[\'mydriver\', \'noop\', \'ovs\'] []', "No module named 'nova'"],
            run(NO_NOVA + '''
import os_vif; os_vif.initialize()
plugins = {p.plugin_name: p for p in os_vif.host_info().plugin_info}
print(sorted(p for p in plugins if p in ('mydriver', 'noop', 'ovs')),
      plugins['mydriver'].vif_info)
try:
    import nova.virt.mydriver
except ImportError as e:
    print(e)
'''))

    def test_with_an_unsupported_nova(self):
        folder = self.enterContext(tempfile.TemporaryDirectory())
        metadata.write(folder, 'nova', '21.0.0')
        self.assertEqual(
            ['UnsupportedRelease: nova 21.0.0 is not supported', 'True',
             '[]'], run(f'''
import os_vif; os_vif.initialize()
import sys; sys.path.insert(0, {folder!r})
try:
    import nova.virt.mydriver
except Exception as e:
    print(f"{{type(e).__name__}}: {{e}}".rpartition(': mydriver')[0])
    from mydriver import releases
    print(f'nova {{releases.supported("nova")}}' in str(e))
print([m for m in sys.modules if m.startswith('nova.virt.libvirt')])
'''))


class PluginTest(unittest.TestCase):
    """The plugin and the finder, in this interpreter."""

    def setUp(self):
        super().setUp()
        self.enterContext(mock.patch.object(
            sys, 'meta_path', [f for f in sys.meta_path if not isinstance(
                f, entry_point.NovaVirtFinder)]))

    def test_loaded_again_and_again(self):
        before = list(sys.meta_path)
        for _ in range(2):
            os_vif.initialize(reset=True)
        self.assertEqual(before, sys.meta_path[:-1])
        self.assertIsInstance(sys.meta_path[-1], entry_point.NovaVirtFinder)

    def test_no_other_name_is_found(self):
        find = entry_point.NovaVirtFinder().find_spec
        self.assertIsNotNone(find('nova.virt.mydriver', None))
        for name in ('nova.virt.mydriver.x', 'nova.virt', 'mydriver'):
            self.assertIsNone(find(name, None))

    def test_it_plugs_nothing(self):
        plugin = entry_point.NovaVirtFinderPlugin.load('mydriver')
        for call in (plugin.plug, plugin.unplug):
            with self.assertRaises(exception.NoMatchingPlugin):
                call(None, None)

    def test_filtered_host_info(self):
        """What plugs certain VIFs only; ours must not break the filter."""
        os_vif.initialize(reset=True)
        info = os_vif.host_info(permitted_vif_type_names=['VIFBridge'])
        self.assertEqual(
            {'VIFBridge'}, {v.vif_object_name for p in info.plugin_info
                            for v in p.vif_info})

# SPDX-License-Identifier: Apache-2.0
"""What cinder-volume gets to see of a release that is not supported."""

import subprocess
import sys
import tempfile
import unittest

from mydriver import releases
from tests.fakes import metadata

_LOAD = '''
import sys
from oslo_utils import importutils
try:
    importutils.import_class('mydriver.cinder_volume.driver.LIODriver')
except Exception as e:
    print(f'{type(e).__name__}: {e}')
print([m for m in sys.modules if m.partition('.')[0] == 'cinder'])
'''


class ReleaseTest(unittest.TestCase):
    """The driver is imported as the manager imports it."""

    def load(self, version):
        """Return the lines of an interpreter with that cinder."""
        folder = self.enterContext(tempfile.TemporaryDirectory())
        metadata.write(folder, 'cinder', version)
        done = subprocess.run(
            [sys.executable, '-W', 'ignore', '-c',
             f'import sys; sys.path.insert(0, {folder!r})\n{_LOAD}'],
            capture_output=True, text=True, check=True, timeout=300)
        return done.stdout.splitlines()

    def test_refused_before_cinder_is_imported(self):
        self.assertEqual(
            [('UnsupportedRelease: cinder 21.3.1 is not supported: mydriver '
              f'{releases.own()} works with cinder '
              f'{releases.supported("cinder")}. Install one of these, or a '
              'release of mydriver that supports cinder 21.3.1.'), '[]'],
            self.load('21.3.1'))

    def test_a_newer_one_is_loaded(self):
        modules, = self.load('999.0.0')
        self.assertIn("'cinder.volume.driver'", modules)

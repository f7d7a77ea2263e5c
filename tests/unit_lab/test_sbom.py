# SPDX-License-Identifier: Apache-2.0
"""The bill of materials: of a wheel and distributions made up here."""

import hashlib
import json
from pathlib import Path
import subprocess
import sys
import tempfile
import unittest
import zipfile

from packaging import utils

from tools import sbom

_WHEEL = '''\
Metadata-Version: 2.4
Name: mydriver
Version: 7.8.9
License-Expression: Apache-2.0
Provides-Extra: storage
Requires-Dist: Of.Both>=1.0
Requires-Dist: of-storage[fast]; extra == "storage"
Requires-Dist: of-an-old-python; python_version < "3"
'''

#: Name, version -> the rest of the metadata.
_INSTALLED = {
    ('of-both', '1.0'): 'License-Expression: MIT\n',
    ('of-storage', '2.0'): (
        'Classifier: License :: OSI Approved :: BSD License\n'
        'Provides-Extra: fast\nProvides-Extra: slow\n'
        'Requires-Dist: of_both\nRequires-Dist: quick; extra == "fast"\n'
        'Requires-Dist: sluggish; extra == "slow"\n'),
    ('quick', '3.0'): 'License: Some Licence\nRequires-Dist: of-storage\n',
}
_PINS = 'of-both==1.0\nof-storage==2.0\nquick==3.0\nother==9.9\n'


class SbomTest(unittest.TestCase):
    """What is in it."""

    def setUp(self):
        super().setUp()
        self.folder = Path(self.enterContext(tempfile.TemporaryDirectory()))
        sys.path.insert(0, str(self.folder))
        self.addCleanup(sys.path.remove, str(self.folder))
        self.wheel = self.folder / 'mydriver-7.8.9-py3-none-any.whl'
        with zipfile.ZipFile(self.wheel, 'w') as archive:
            archive.writestr('mydriver-7.8.9.dist-info/METADATA', _WHEEL)
        for (name, version), rest in _INSTALLED.items():
            self.install(name, version, rest)
        self.pins = self.folder / 'constraints.txt'
        self.pins.write_text(_PINS)

    def install(self, name, version, rest=''):
        """Add a distribution that consists of metadata."""
        path = self.folder / (f'{name.replace("-", "_")}-{version}'
                              '.dist-info')
        path.mkdir()
        (path / 'METADATA').write_text(
            f'Metadata-Version: 2.4\nName: {name}\nVersion: {version}\n'
            f'{rest}')

    def test_form(self):
        bill = sbom.bill(self.wheel, self.pins)
        self.assertEqual(('CycloneDX', '1.6', 1), (
            bill['bomFormat'], bill['specVersion'], bill['version']))
        self.assertRegex(
            bill['serialNumber'],
            '^urn:uuid:[0-9a-f]{8}-([0-9a-f]{4}-){3}[0-9a-f]{12}$')
        self.assertEqual(bill, sbom.bill(self.wheel, self.pins))

    def test_the_wheel_itself(self):
        self.assertEqual(
            {'type': 'library', 'bom-ref': 'pkg:pypi/mydriver@7.8.9',
             'name': 'mydriver', 'version': '7.8.9',
             'purl': 'pkg:pypi/mydriver@7.8.9',
             'licenses': [{'expression': 'Apache-2.0'}],
             'hashes': [{'alg': 'SHA-256', 'content': hashlib.sha256(
                 self.wheel.read_bytes()).hexdigest()}]},
            sbom.bill(self.wheel, self.pins)['metadata']['component'])

    def test_components(self):
        found = sbom.bill(self.wheel, self.pins)['components']
        self.assertEqual(
            [('of-both', '1.0', [{'expression': 'MIT'}]),
             ('of-storage', '2.0', [{'license': {'name': 'BSD License'}}]),
             ('quick', '3.0', [{'license': {'name': 'Some Licence'}}])],
            [(c['name'], c['version'], c['licenses']) for c in found])
        self.assertEqual(
            [f'pkg:pypi/{c["name"]}@{c["version"]}' for c in found],
            [c['purl'] for c in found])

    def test_dependencies(self):
        purl = 'pkg:pypi/{}'.format
        self.assertEqual(
            {purl('mydriver@7.8.9'): [purl('of-both@1.0'),
                                      purl('of-storage@2.0')],
             purl('of-both@1.0'): [],
             purl('of-storage@2.0'): [purl('of-both@1.0'),
                                      purl('quick@3.0')],
             purl('quick@3.0'): [purl('of-storage@2.0')]},
            {d['ref']: d['dependsOn'] for d in sbom.bill(
                self.wheel, self.pins)['dependencies']})

    def test_licence_that_nobody_states(self):
        self.pins.write_text(_PINS.replace('quick==3.0', 'quick==3.1'))
        self.install('quick', '3.1', 'License: A whole\n    text\n')
        quick = sbom.bill(self.wheel, self.pins)['components'][-1]
        self.assertEqual(('3.1', False),
                         (quick['version'], 'licenses' in quick))

    def test_requirement_without_a_pin(self):
        self.pins.write_text(_PINS.replace('quick', 'slow'))
        with self.assertRaisesRegex(sbom.SbomError, 'does not pin quick'):
            sbom.bill(self.wheel, self.pins)

    def test_another_version_is_installed(self):
        self.pins.write_text(_PINS.replace('quick==3.0', 'quick==3.5'))
        with self.assertRaisesRegex(sbom.SbomError, r'quick 3\.5 is not'):
            sbom.bill(self.wheel, self.pins)

    def test_command(self):
        """With the real constraints, which pin nothing of this."""
        done = subprocess.run(
            [sys.executable, '-m', 'tools.sbom', str(self.wheel)],
            cwd=sbom.ROOT, capture_output=True, text=True, check=False)
        self.assertEqual((1, ''), (done.returncode, done.stdout))
        self.assertIn('does not pin of-both', done.stderr)

    def test_command_writes_a_file(self):
        with zipfile.ZipFile(self.wheel, 'w') as archive:
            archive.writestr('mydriver-7.8.9.dist-info/METADATA',
                             _WHEEL.partition('Provides')[0])
        path = self.folder / 'bill.json'
        self.assertEqual(0, sbom.main([str(self.wheel), '--output',
                                       str(path)]))
        self.assertEqual([], json.loads(path.read_text())['components'])

    def test_pins_are_normalised(self):
        self.assertEqual(
            [], [n for n in sbom.pinned() if n != utils.canonicalize_name(n)])
        self.assertIn('oslo-config', sbom.pinned())

# SPDX-License-Identifier: Apache-2.0
"""The volume drivers that the installed packages really offer."""

import unittest

from mydriver.nova_virt import plugins


class InstalledTest(unittest.TestCase):
    """What the entry points lead to; see also nova_virt."""

    def test_ours(self):
        classes = plugins.volume_driver_classes()
        self.assertEqual(
            'mydriver.nova_virt.volume.LibvirtISCSIVolumeDriver',
            f'{classes["iscsi"].__module__}.{classes["iscsi"].__name__}')

# SPDX-License-Identifier: Apache-2.0
"""Base of the tests that need a Ceph."""

import os
from pathlib import Path

from lab.ceph import admin
from tests.functional import base

#: Pools that the lab has made.
VOLUMES, IMAGES = 'volumes', 'images'

#: The user of cinder-volume and its keyring.
USER = 'cinder'
KEYRING = Path('/etc/ceph/ceph.client.cinder.keyring')


class CephTestCase(base.NodeTestCase):
    """A test case with a connection to its module's Ceph.

    :cvar conf: path of ceph.conf.
    :cvar ceph: a connection as ``client.admin``.
    """

    conf: Path
    ceph: admin.Admin

    @classmethod
    def setUpClass(cls) -> None:
        """Fail where there is no Ceph."""
        super().setUpClass()
        conf = os.environ.get('CEPH_CONF')
        if not conf:
            raise AssertionError(
                'this test needs a Ceph: python -m lab kernel run --ceph '
                f'--disk 4G -- python -m unittest {cls.__module__}')
        cls.conf = Path(conf)
        cls.ceph = admin.Admin(cls.conf)
        cls.addClassCleanup(cls.ceph.close)

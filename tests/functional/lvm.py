# SPDX-License-Identifier: Apache-2.0
"""LVM in a node, for tests: a volume group on the spare disk."""

import os
import unittest

from oslo_config import cfg

from mydriver import privileged
from tests.functional import base

GROUP = 'vg-test'
POOL = f'{GROUP}/mydriver'

#: Small extents, so that tests need not write much.
EXTENT = '512k'


def make_group() -> None:
    """Make a volume group of the spare disk."""
    os.environ['LVM_SUPPRESS_FD_WARNINGS'] = '1'
    base.run('modprobe', 'dm-thin-pool')
    base.run('vgcreate', '-q', '-s', EXTENT, GROUP, base.DISK)


def remove_group() -> None:
    """Remove it with all that it holds."""
    base.run('vgremove', '-q', '-f', '-y', GROUP)
    base.run('pvremove', '-q', '-f', '-y', base.DISK)


def remove_volumes() -> None:
    """Remove all volumes of the pool."""
    base.run('lvremove', '-q', '-f', '-S', 'pool_lv=mydriver', GROUP)


def use(test: unittest.TestCase) -> None:
    """Run privileged verbs in this very process."""
    cfg.CONF([], project='mydriver', default_config_files=[])
    privileged.target_context.set_client_mode(False)
    test.addCleanup(privileged.target_context.set_client_mode, True)

# SPDX-License-Identifier: Apache-2.0
"""udev on a node, set up as on a gateway's host."""

from pathlib import Path
import shutil

from lab import paths
from tests.functional import base

#: Our rules, and where they replace Ceph's.
RULES = paths.ROOT / 'mydriver/hostfiles/templates/50-rbd.rules'
PLACE = Path('/etc/udev/rules.d/50-rbd.rules')


def use_our_rules(test) -> None:
    """Let udev name mapped images without Ceph's program, for one test."""
    PLACE.parent.mkdir(parents=True, exist_ok=True)
    shutil.copy(RULES, PLACE)
    base.run('udevadm', 'control', '--reload')

    def undo():
        PLACE.unlink()
        base.run('udevadm', 'control', '--reload')

    test.addCleanup(undo)

# SPDX-License-Identifier: Apache-2.0
"""All checks that need no other command."""

from mydriver.doctor import (
    common,
    compute,
    privsep,
    setup_files,
    storage,
    volumes,
)

#: In the order in which they run: causes before their effects.
CHECKS = (*setup_files.CHECKS, *common.CHECKS, *privsep.CHECKS,
          *storage.CHECKS, *compute.CHECKS, *volumes.CHECKS)

# SPDX-License-Identifier: Apache-2.0
"""Tempest's feature flags: which features the cloud has.

Tempest runs a test only if the operator has declared its feature. These are
the lab's declarations; a feature that is off shows up as skips, and
``skips.toml`` has to justify each of them.
"""

from lab.cloud import driver, settings
from lab.cloud.config import ini

#: [volume-feature-enabled], including options of cinder-tempest-plugin;
#: :func:`volume` adds those that depend on the cloud's options.
VOLUME: ini.Section = {
    'clone': True,
    'concurrency_tests': True,
    'enable_volume_image_dep_tests': True,
    'extend_attached_encrypted_volume': True,
    'extend_attached_volume': True,
    'extend_volume_with_snapshot': True,
    'manage_snapshot': True,
    'manage_volume': True,
    'replication': False,
    'snapshot': True,
    'volume_revert': True,
}

#: [compute-feature-enabled].
COMPUTE: ini.Section = {
    'attach_encrypted_volume': True,
    'cold_migration': False,      # there is one compute host
    'console_output': True,
    'live_migration': False,      # the same
    'rescue': True,
    'resize': True,
    'shelve': True,
    'snapshot': True,
    'swap_volume': True,
    'vnc_console': False,
    'volume_multiattach': True,
}


def volume(options: settings.Options) -> ini.Section:
    """Return Cinder's features in a cloud with these options."""
    return VOLUME | {
        'backup': options.backup,
        # Consistent snapshots need devices that can be suspended.
        'consistency_group': options.store == driver.LVMTHIN,
        'multi_backend': len(options.backends) > 1,
    }

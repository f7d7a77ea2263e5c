# SPDX-License-Identifier: Apache-2.0
"""What tempest may take for granted: one line for each of its questions.

Tempest runs a test only where the operator says that the cloud can do what it
is about. This is the one place where the lab says so; what is off here shows
up as skips, each of which ``skips.toml`` has to justify.
"""

from lab.cloud import settings
from lab.cloud.config import ini

#: [volume-feature-enabled], cinder-tempest-plugin's own options among them;
#: :func:`volume` has those that are not the same in each cloud.
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
    """Return what Cinder can do in a cloud with these options."""
    return VOLUME | {
        'backup': options.backup,
        # Snapshots of one instant take a device that can be suspended.
        'consistency_group': options.store == 'lvmthin',
        'multi_backend': len(options.backends) > 1,
    }

# SPDX-License-Identifier: Apache-2.0
"""What tempest may take for granted: one line for each of its questions.

Tempest runs a test only where the operator says that the cloud can do what it
is about. This is the one place where the lab says so; what is off here shows
up as skips, each of which ``skips.toml`` has to justify.
"""

from lab.cloud import settings
from lab.cloud.config import ini

#: [volume-feature-enabled]. What the two plugins' own options are called is
#: registered there, too, by cinder-tempest-plugin.
VOLUME: ini.Section = {
    'backup': True,
    'clone': True,
    'concurrency_tests': True,
    'consistency_group': False,
    'enable_volume_image_dep_tests': True,
    'extend_attached_encrypted_volume': False,
    'extend_attached_volume': True,
    'extend_volume_with_snapshot': True,
    'manage_snapshot': True,
    'manage_volume': True,
    'multi_backend': True,
    'replication': False,
    'snapshot': True,
    'volume_revert': True,
}

#: [compute-feature-enabled].
COMPUTE: ini.Section = {
    'attach_encrypted_volume': False,
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
    return VOLUME | {'multi_backend': VOLUME['multi_backend']
                     and len(options.backends) > 1,
                     'backup': VOLUME['backup'] and options.backup}

# SPDX-License-Identifier: Apache-2.0
"""tempest.conf for the cloud that is up."""

from pathlib import Path

from lab.cloud import settings
from lab.cloud.config import ini
from lab.cloud.site import Site
from lab.tempest import features

#: Tempest's timeout for a change of state, seconds. It is generous for a busy
#: machine; the run has a deadline of its own.
BUILD_TIMEOUT_S = 600


def build(site: Site, folder: Path) -> ini.Sections:
    """Return the sections of tempest.conf.

    :param site: the cloud.
    :param folder: for tempest's locks and log.
    """
    keystone = settings.url('keystone') + '/v3'
    return {
        'DEFAULT': {
            'debug': True,
            'use_stderr': False,
            'log_file': str(folder / 'tempest.log'),
        },
        'oslo_concurrency': {'lock_path': str(folder / 'lock')},
        'auth': {
            'use_dynamic_credentials': True,
            'create_isolated_networks': False,
            'admin_username': 'admin',
            'admin_password': site.passwords.admin,
            'admin_project_name': 'admin',
            'admin_domain_name': 'Default',
            'tempest_roles': 'member',
        },
        'identity': {
            'auth_version': 'v3',
            'uri_v3': keystone,
            'uri': keystone,
            'region': settings.REGION,
        },
        'service_available': {
            'cinder': True, 'glance': True, 'nova': True, 'neutron': True,
            'swift': False, 'horizon': False, 'barbican': False,
        },
        # Guests have no network, so tempest cannot log in to them.
        'validation': {'run_validation': False},
        'image': {'build_timeout': BUILD_TIMEOUT_S},
        'image-feature-enabled': {'import_image': False},
        **_compute(),
        **_volume(site.options),
    }


def _compute() -> ini.Sections:
    return {
        'compute': {
            # Nothing inside a guest is checked (see run_validation).
            'image_ref': settings.SECTOR_IDS[0],
            'image_ref_alt': settings.SECTOR_IDS[1],
            'flavor_ref': settings.FLAVOR_ID,
            'flavor_ref_alt': settings.FLAVOR_ALT_ID,
            'build_timeout': BUILD_TIMEOUT_S,
            'min_microversion': '2.1',
            'max_microversion': 'latest',
            'min_compute_nodes': 1,
            'volume_device_name': 'vdb',
        },
        'compute-feature-enabled': features.COMPUTE,
        'placement': {'min_microversion': '1.0',
                      'max_microversion': 'latest'},
    }


def _volume(options: settings.Options) -> ini.Sections:
    return {
        'volume': {
            'build_timeout': BUILD_TIMEOUT_S,
            'min_microversion': '3.0',
            'max_microversion': 'latest',
            'volume_type': options.backends[0],
            'volume_type_multiattach': 'multiattach',
            'backend_names': ','.join(options.backends),
            'backup_driver': 'posix',
            'storage_protocol': 'iSCSI',
            'vendor_name': 'Open Source',
            'disk_format': 'raw,qcow2',
            # Names of unmanaged ones in our stores.
            'manage_volume_ref': 'source-name,volume-%s',
            'manage_snapshot_ref': 'source-name,snapshot-%s',
        },
        'volume-feature-enabled': features.volume(options),
        # This release's defaults (oslo.policy: enforce_new_defaults).
        'enforce_scope': {'cinder': True, 'nova': True},
    }

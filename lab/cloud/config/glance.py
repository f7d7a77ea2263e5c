# SPDX-License-Identifier: Apache-2.0
"""glance-api.conf: images in plain files."""

from pathlib import Path

from lab.cloud import settings
from lab.cloud.config import common, ini
from lab.cloud.site import Site


def images(site: Site) -> Path:
    """Return the directory of the images, on whichever host glance runs."""
    return site.layout.lib / 'glance' / 'images'


def glance(site: Site) -> ini.Sections:
    """Return glance's sections."""
    lib = site.layout.lib / 'glance'
    return ini.merge(
        common.logging(site.options.debug_all),
        common.database(site, 'database', 'glance'),
        common.authtoken(site),
        common.messaging(site, str(site.layout.locks)), {
            'DEFAULT': {
                'bind_host': settings.host('glance'),
                'enabled_backends': 'file:file',
                'enabled_import_methods': '[glance-direct]',
                'image_cache_dir': str(lib / 'cache'),
                # cinder-volume has to know the file in order to clone it.
                'show_image_direct_url': site.options.images == 'storage',
                'node_staging_uri': f'file://{lib}/staging',
                'use_keystone_limits': False,
            },
            'glance_store': {'default_backend': 'file'},
            'file': {'filesystem_store_datadir': str(images(site))},
            'os_glance_staging_store': {
                'filesystem_store_datadir': str(lib / 'staging')},
            'os_glance_tasks_store': {
                'filesystem_store_datadir': str(lib / 'tasks')},
            'paste_deploy': {
                'flavor': 'keystone',
                'config_file': str(site.layout.conf(
                    'glance', 'glance-api-paste.ini'))},
        })

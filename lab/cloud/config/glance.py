# SPDX-License-Identifier: Apache-2.0
"""glance-api.conf: images in plain files, or in Ceph."""

from pathlib import Path

from lab.cloud import driver, settings
from lab.cloud.config import common, ini
from lab.cloud.site import Site


def images(site: Site) -> Path:
    """Return the directory of the images, on whichever host glance runs."""
    return site.layout.lib / 'glance' / 'images'


#: Stores; seeded images are in the first one.
FILE, RBD = 'file', 'rbd'


def _ceph(site: Site) -> ini.Sections:
    """Return the section of the store in Ceph."""
    return {RBD: {
        'rbd_store_pool': driver.CEPH_IMAGES,
        'rbd_store_user': driver.CEPH_USER,
        'rbd_store_ceph_conf': str(site.layout.ceph_conf),
        'rados_connect_timeout': 30,
    }}


def glance(site: Site) -> ini.Sections:
    """Return glance's sections."""
    lib = site.layout.lib / 'glance'
    in_ceph = site.options.images == settings.IN_CEPH
    return ini.merge(
        common.logging(site.options.debug_all),
        common.database(site, 'database', 'glance'),
        common.authtoken(site),
        common.messaging(site, str(site.layout.locks)), {
            'DEFAULT': {
                'bind_host': settings.host('glance'),
                'enabled_backends': (f'{FILE}:file,{RBD}:rbd' if in_ceph
                                     else f'{FILE}:file'),
                'enabled_import_methods': '[glance-direct,copy-image]',
                'image_cache_dir': str(lib / 'cache'),
                # cinder-volume has to know the place in order to clone it.
                'show_image_direct_url':
                    site.options.images != settings.IN_CONTROL,
                'node_staging_uri': f'file://{lib}/staging',
                'use_keystone_limits': False,
            },
            'glance_store': {'default_backend': RBD if in_ceph else FILE},
            FILE: {'filesystem_store_datadir': str(images(site))},
            'os_glance_staging_store': {
                'filesystem_store_datadir': str(lib / 'staging')},
            'os_glance_tasks_store': {
                'filesystem_store_datadir': str(lib / 'tasks')},
            'paste_deploy': {
                'flavor': 'keystone',
                'config_file': str(site.layout.conf(
                    'glance', 'glance-api-paste.ini'))},
        }, _ceph(site) if in_ceph else {})

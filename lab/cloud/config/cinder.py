# SPDX-License-Identifier: Apache-2.0
"""cinder.conf of the control plane and of node ``storage``."""

from collections.abc import Sequence

from lab.cloud import driver, settings
from lab.cloud.config import common, ini
from lab.cloud.site import Site

#: File name of cinder-volume's configuration on node ``storage``.
VOLUME_CONF = 'cinder-volume.conf'
#: The copy that a node makes of its own (lab/cloud/node/storage.sh).
#: The driver's privileged daemon reads it only where it belongs to root, and a
#: clone may lie in the directory of a user.
ROOTS_CONF = '/etc/cinder/cinder-volume.conf'

#: On node ``storage`` this is an XFS on a disk that outlives a reboot.
STATE_PATH = driver.DISK
BACKUP_PATH = f'{STATE_PATH}/backup'


def volume_conf(node: str) -> str:
    """Return the file name of cinder-volume's configuration on a node."""
    return (VOLUME_CONF if node == 'storage'
            else f'cinder-volume-{node}.conf')


def _both(site: Site, state_path: str, lock_path: str) -> ini.Sections:
    """Return what the control plane and the storage node share."""
    return ini.merge(
        common.messaging(site, lock_path),
        common.database(site, 'database', 'cinder'),
        common.authtoken(site),
        common.client(site, 'nova'),
        common.key_manager(
            site, 'cinder.keymgr.conf_key_mgr.ConfKeyManager'),
        common.service_user(site), {
            'DEFAULT': {
                'state_path': state_path,
                'auth_strategy': 'keystone',
                'rootwrap_config': str(site.layout.conf(
                    'cinder', 'rootwrap.conf')),
                'enabled_backends': ','.join(site.options.backends),
                'default_volume_type': site.options.backends[0],
                'glance_api_servers': settings.url('glance'),
                'periodic_interval': 60,
                'report_interval': 3,
                'backend_stats_polling_interval': 60,
                'image_conversion_dir': f'{state_path}/conversion',
                **({'allowed_direct_url_schemes': 'file'}
                   if site.options.images == settings.ON_STORAGE else {}),
            },
            'coordination': {
                'backend_url': f'file://{state_path}/coordination'
                if site.options.volumes == 1 else
                f'etcd3+http://{settings.CONTROL}:{settings.PORTS["etcd"]}'},
        })


def cinder(site: Site) -> ini.Sections:
    """Return the sections of cinder-api and cinder-scheduler."""
    return ini.merge(
        common.logging(site.options.debug_all),
        _both(site, str(site.layout.lib / 'cinder'),
              str(site.layout.locks)), {
            'DEFAULT': {
                'host': 'control',
                'my_ip': settings.CONTROL,
                'api_paste_config': str(site.layout.conf(
                    'cinder', 'api-paste.ini')),
                'resource_query_filters_file': str(site.layout.conf(
                    'cinder', 'resource_filters.json')),
                'osapi_volume_listen': settings.CONTROL,
                'osapi_volume_listen_port': settings.PORTS['cinder'],
                'osapi_volume_workers': 1,
                # The default ones, and those that call the driver.
                'scheduler_default_filters': 'AvailabilityZoneFilter,'
                'CapacityFilter,CapabilitiesFilter,DriverFilter',
                'scheduler_default_weighers': 'CapacityWeigher,'
                'GoodnessWeigher',
            },
        })


def volume(site: Site, node: str = 'storage') -> ini.Sections:
    """Return the sections of cinder-volume, with the chosen backends.

    cinder-backup on the same node uses the same file.

    :param node: its name.
    """
    conf = str(site.layout.conf('cinder', volume_conf(node)))
    backends = ours(site)
    if settings.RBD in site.options.backends:
        backends[settings.RBD] = rbd_backend()
    if settings.LVM in site.options.backends:
        backends[settings.LVM] = lvm_backend(_portals(site))
    return ini.merge(
        common.logging(True),
        _both(site, STATE_PATH, f'{STATE_PATH}/lock'),
        common.privsep(site, conf, 'cinder_sys_admin', 'privsep_osbrick'),
        common.privsep(site, ROOTS_CONF, driver.TARGET_SECTION), {
            'DEFAULT': {'host': node,
                        'my_ip': settings.address(node),
                        **({'cluster': settings.CLUSTER}
                           if site.options.volumes > 1 else {})},
        }, backup(), backends)


def ours(site: Site) -> ini.Sections:
    """Return the sections of our driver's backends."""
    options = site.options
    floating = [f'{subnet}.' for subnet in
                settings.SUBNETS[:options.portals]] if options.gateways else []
    return {name: driver.section(name, options.store, _portals(site),
                                 options.native, floating)
            for name in options.backends if name in driver.BACKENDS}


def _portals(site: Site) -> list[str]:
    """Return the addresses of the storage node's targets."""
    return [settings.address('storage', n)
            for n in range(site.options.portals)]


def backup() -> ini.Sections:
    """Return the options of cinder-backup, which writes to files.

    It holds a file of a backup in memory, 2 GB by default, and its compressed
    content. Blocks of 32 MiB and more are always mapped anew (mallopt(3),
    M_MMAP_THRESHOLD), which is expensive in a node. A node has one processor,
    so parallel backups save no time.
    """
    return {'DEFAULT': {
        'backup_driver': 'cinder.backup.drivers.posix.PosixBackupDriver',
        'backup_posix_path': BACKUP_PATH,
        'backup_file_size': 8 << 20,
        'backup_max_operations': 1,
        # zstd's module allocates memory for each piece: three times as slow.
        'backup_compression_algorithm': 'zlib',
        'backup_workers': 1,
    }}


def rbd_backend() -> ini.Section:
    """Return the section of the in-tree driver for Ceph, a baseline, too."""
    return {
        'volume_driver': 'cinder.volume.drivers.rbd.RBDDriver',
        'volume_backend_name': settings.RBD,
        'rbd_pool': settings.RBD_POOL,
        'rbd_user': driver.CEPH_USER,
        'rbd_ceph_conf': '/etc/ceph/ceph.conf',
        'rbd_cluster_name': 'ceph',
        'rbd_secret_uuid': driver.SECRET,
    }


def lvm_backend(portals: Sequence[str]) -> ini.Section:
    """Return the section of the in-tree driver, which is the baseline."""
    section: ini.Section = {
        'volume_driver': 'cinder.volume.drivers.lvm.LVMVolumeDriver',
        'volume_backend_name': settings.LVM,
        'volume_group': settings.LVM_GROUP,
        'lvm_type': 'thin',
        'target_helper': 'lioadm',
        'target_protocol': 'iscsi',
        'target_prefix': driver.TARGET_PREFIX,
        'target_ip_address': portals[0],
        'volume_clear': 'none',
    }
    if len(portals) > 1:
        section['target_secondary_ip_addresses'] = ','.join(portals[1:])
    return section

# SPDX-License-Identifier: Apache-2.0
"""nova.conf of the control plane and nova-cpu.conf of node ``compute``."""

from lab.cloud import driver, settings
from lab.cloud.config import common, ini
from lab.cloud.site import Site

#: File name of nova-compute's configuration.
COMPUTE_CONF = 'nova-cpu.conf'


def _both(site: Site, lock_path: str) -> ini.Sections:
    """Return what the control plane and the compute node share."""
    cinder = common.client(site, 'cinder')
    cinder['cinder'].pop('region_name')
    return ini.merge(
        common.messaging(site, lock_path),
        common.client(site, 'placement'),
        common.client(site, 'neutron'),
        common.key_manager(site, 'nova.keymgr.conf_key_mgr.ConfKeyManager'),
        common.service_user(site),
        cinder, {
            'DEFAULT': {
                # Nova 33 has no such option, and green threads in the
                # conductor and in nova-compute.
                'concurrency_backend': 'threading',
                'allow_resize_to_same_host': True,
                'max_concurrent_builds': 4,
                'default_thread_pool_size': 20,
                'executor_thread_pool_size': 16,
                'report_interval': 5,
            },
            'api': {'auth_strategy': 'keystone',
                    'use_neutron_default_nets': False},
            'cinder': {'catalog_info': 'block-storage::publicURL',
                       'os_region_name': settings.REGION},
            'glance': {'endpoint_override': settings.url('glance'),
                       'region_name': settings.REGION},
            'vnc': {'enabled': False},
            'spice': {'enabled': False},
        })


def nova(site: Site) -> ini.Sections:
    """Return the sections of nova-api, conductor and scheduler."""
    return ini.merge(
        common.logging(site.options.debug_all),
        _both(site, str(site.layout.locks)),
        common.authtoken(site),
        # The cell's database is called "nova", from which nova-manage derives
        # "nova_cell0". So its command line needs no URL with a password.
        common.database(site, 'database', 'nova'),
        common.database(site, 'api_database', 'nova_api'), {
            'DEFAULT': {
                'host': 'control',
                'my_ip': settings.CONTROL,
                'state_path': str(site.layout.lib / 'nova'),
                'enabled_apis': 'osapi_compute',
                # Periodic tasks, such as the discovery of hosts, start at
                # once instead of within a minute.
                'periodic_fuzzy_delay': 0,
            },
            'conductor': {'workers': 1},
            # The seeded databases have no compute host: the scheduler looks
            # for a new one at this interval.
            'scheduler': {'workers': 1,
                          'discover_hosts_in_cells_interval': 3},
            'filter_scheduler': {'track_instance_changes': False},
        })


def compute(site: Site) -> ini.Sections:
    """Return the sections of nova-compute.

    It has no database: as in production it uses the conductor, and refuses to
    start otherwise.
    """
    conf = str(site.layout.conf('nova', COMPUTE_CONF))
    return ini.merge(
        common.logging(True),
        _both(site, '/var/lib/nova/lock'),
        common.privsep(site, conf, 'nova_sys_admin', 'privsep_osbrick',
                       driver.INITIATOR_SECTION,
                       'vif_plug_linux_bridge_privileged',
                       'vif_plug_ovs_privileged'), {
            'DEFAULT': {
                'host': 'compute',
                'my_ip': settings.address('compute'),
                'my_block_storage_ip': settings.address('compute'),
                'state_path': '/var/lib/nova',
                'compute_driver': site.options.compute_driver,
                # A node is small and its guests tiny.
                'cpu_allocation_ratio': 16,
                'disk_allocation_ratio': 32,
                # Servers that ran before a power cut are started after it.
                'resume_guests_state_on_host_boot': True,
            },
            'libvirt': {
                'virt_type': 'qemu', 'cpu_mode': 'none',
                'volume_use_multipath': site.options.portals > 1},
        })

# SPDX-License-Identifier: Apache-2.0
"""neutron.conf: an API without agents.

Nova asks neutron about every server, even about one without a port. The lab
needs no more than an answer.
"""

from lab.cloud import settings
from lab.cloud.config import common, ini
from lab.cloud.site import Site


def neutron(site: Site) -> ini.Sections:
    """Return neutron's sections, including ML2's."""
    return ini.merge(
        common.logging(site.options.debug_all),
        common.database(site, 'database', 'neutron'),
        common.authtoken(site),
        common.messaging(site, str(site.layout.locks)), {
            'DEFAULT': {
                'host': 'control',
                'bind_host': settings.CONTROL,
                'bind_port': settings.PORTS['neutron'],
                'auth_strategy': 'keystone',
                'core_plugin': 'ml2',
                'service_plugins': '',
                'api_paste_config': str(site.layout.conf(
                    'neutron', 'api-paste.ini')),
                'state_path': str(site.layout.lib / 'neutron'),
                'notify_nova_on_port_status_changes': False,
                'notify_nova_on_port_data_changes': False,
                'rpc_workers': 0,
                'api_workers': 1,
            },
            'ml2': {'type_drivers': 'local', 'tenant_network_types': 'local',
                    'mechanism_drivers': 'logger'},
            'quotas': {'quota_driver':
                       'neutron.db.quota.driver_nolock.DbQuotaNoLockDriver'},
        })

# SPDX-License-Identifier: Apache-2.0
"""Configuration of the gateways: the backends, and no other secrets."""

from pathlib import Path

from lab.cloud import driver, settings
from lab.cloud.config import cinder, common, ini
from lab.cloud.site import Site

#: The copy that a gateway makes (lab/cloud/node/gateway.sh), which belongs to
#: root, as on a real host.
ROOTS_CONF = '/etc/mydriver/gateway.conf'


def path(site: Site, name: str) -> Path:
    """Return the path of a gateway's configuration file.

    :param name: of the node.
    """
    return site.layout.conf('gateway', f'{name}.conf')


def gateway(site: Site, name: str) -> ini.Sections:
    """Return the sections of a gateway.

    :param name: of the node.
    """
    return ini.merge(
        common.logging(True),
        common.privsep(site, ROOTS_CONF, driver.TARGET_SECTION), {
            'DEFAULT': {
                'host': name,
                'my_ip': settings.address(name),
                'enabled_backends': ','.join(
                    b for b in site.options.backends if b in driver.BACKENDS),
                'state_path': cinder.STATE_PATH,
            },
            'oslo_concurrency': {'lock_path': f'{cinder.STATE_PATH}/lock'},
        }, cinder.ours(site))

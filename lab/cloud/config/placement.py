# SPDX-License-Identifier: Apache-2.0
"""placement.conf."""

from lab.cloud.config import common, ini
from lab.cloud.site import Site


def placement(site: Site) -> ini.Sections:
    """Return placement's sections."""
    return ini.merge(
        common.logging(site.options.debug_all),
        common.database(site, 'placement_database', 'placement'),
        common.authtoken(site), {
            'api': {'auth_strategy': 'keystone'},
            'oslo_concurrency': {'lock_path': str(site.layout.locks)},
        })

# SPDX-License-Identifier: Apache-2.0
"""keystone.conf."""

from lab.cloud.config import common, ini
from lab.cloud.site import Site


def keystone(site: Site) -> ini.Sections:
    """Return keystone's sections."""
    lib = site.layout.lib / 'keystone'
    return ini.merge(
        common.logging(site.options.debug_all),
        common.database(site, 'database', 'keystone'), {
            'token': {'provider': 'fernet', 'expiration': 86400},
            'fernet_tokens': {'key_repository': str(lib / 'fernet-keys')},
            'credential': {'key_repository': str(lib / 'credential-keys')},
            # The minimum: there are many logins.
            'identity': {'password_hash_rounds': 4},
            'cache': {'enabled': True, 'backend': 'dogpile.cache.memory',
                      'expiration_time': 600},
            'oslo_messaging_notifications': {'driver': 'noop'},
        })

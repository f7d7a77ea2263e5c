# SPDX-License-Identifier: Apache-2.0
"""Sections that several services share."""

from lab.cloud import settings
from lab.cloud.config import ini
from lab.cloud.site import Site

#: Libraries that would fill a log at DEBUG and do not tell about our driver.
#: Without oslo.privsep: it logs the daemons' replies, which a search for
#: secrets must see.
_LEVELS = ','.join(f'{name}={level}' for name, level in (
    ('amqp', 'WARN'), ('amqplib', 'WARN'), ('sqlalchemy', 'WARN'),
    ('oslo_messaging', 'INFO'), ('oslo.messaging', 'INFO'),
    ('stevedore', 'WARN'), ('urllib3.connectionpool', 'WARN'),
    ('requests.packages.urllib3.connectionpool', 'WARN'),
    ('keystonemiddleware', 'WARN'), ('oslo_service', 'INFO'),
    ('oslo_policy', 'WARN'), ('dogpile', 'INFO'), ('routes', 'WARN')))


def logging(debug: bool) -> ini.Sections:
    """Return the logging options: to standard error, which ``up`` keeps."""
    return {'DEFAULT': {'use_stderr': True, 'debug': debug,
                        'default_log_levels': _LEVELS}}


def client(site: Site, section: str) -> ini.Sections:
    """Return a section with a service's credentials as a client."""
    return {section: {
        'auth_url': settings.url('keystone'),
        'auth_type': 'password',
        'username': 'service',
        'password': site.passwords.service,
        'project_name': 'service',
        'user_domain_id': 'default',
        'project_domain_id': 'default',
        'region_name': settings.REGION,
    }}


def service_user(site: Site) -> ini.Sections:
    """Return the section for service tokens; attachments need them."""
    return ini.merge(client(site, 'service_user'), {
        'service_user': {'send_service_user_token': True}})


def authtoken(site: Site) -> ini.Sections:
    """Return the section by which an API checks tokens."""
    return ini.merge(client(site, 'keystone_authtoken'), {
        'keystone_authtoken': {
            'www_authenticate_uri': settings.url('keystone'),
            'service_token_roles': 'service',
            'service_token_roles_required': True,
            'memcache_security_strategy': 'None',
        }})


def database(site: Site, section: str, name: str) -> ini.Sections:
    """Return the section of a database connection."""
    return {section: {'connection': site.database_url(name),
                      'max_pool_size': 5, 'max_overflow': 20}}


def messaging(site: Site, lock_path: str) -> ini.Sections:
    """Return a service's options for RabbitMQ and for its locks."""
    return {
        'DEFAULT': {'transport_url': site.transport_url},
        'oslo_messaging_rabbit': {'rabbit_quorum_queue': False,
                                  'heartbeat_timeout_threshold': 0},
        'oslo_messaging_notifications': {'driver': 'noop'},
        'oslo_concurrency': {'lock_path': lock_path},
    }


def key_manager(site: Site, backend: str) -> ini.Sections:
    """Return the key manager's options.

    One fixed key, which cinder and nova share: the lab has no barbican.

    :param backend: the service's class.
    """
    return {'key_manager': {'backend': backend,
                            'fixed_key': site.passwords.volume_key}}


def privsep(site: Site, conf: str, *contexts: str) -> ini.Sections:
    """Return the start of privsep daemons for a service that runs as root.

    The default is ``sudo privsep-helper``; a node has no sudo.

    :param conf: configuration file of the service.
    :param contexts: the daemons' sections.
    """
    helper = f'{site.program("privsep-helper")} --config-file {conf}'
    return {context: {'helper_command': helper} for context in contexts}

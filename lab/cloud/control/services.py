# SPDX-License-Identifier: Apache-2.0
"""Command line and environment of each service of the control plane."""

import dataclasses

from lab.cloud import settings
from lab.cloud.site import Site


@dataclasses.dataclass(frozen=True, slots=True)
class Service:
    """A daemon.

    :param name: its name, and its log's.
    :param argv: program and arguments, without a secret.
    :param env: additions to the common environment.
    """

    name: str
    argv: tuple[str, ...]
    env: dict[str, str] = dataclasses.field(default_factory=dict)


def _api(site: Site, name: str, port: str, module: str,
         env: dict[str, str], *extra: str) -> Service:
    """Return an API under uwsgi: one process, eight threads."""
    return Service(name, (
        site.program('uwsgi'),
        '--http-socket', f'{settings.host(port)}:{settings.PORTS[port]}',
        '--module', module, '--need-app', '--lazy-apps',
        '--processes', '1', '--threads', '8', '--enable-threads',
        '--die-on-term', '--buffer-size', '65535',
        '--add-header', 'Connection: close',
        '--procname-prefix', f'{name} ', *extra), env)


def mariadb(site: Site) -> Service:
    """Return MariaDB's server."""
    return Service('mariadb', (
        '/usr/sbin/mariadbd',
        f'--defaults-file={site.layout.conf("mariadb", "my.cnf")}'))


def epmd(site: Site) -> Service:
    """Return Erlang's name service; RabbitMQ would start a public one."""
    del site
    return Service('epmd', (
        '/usr/bin/epmd', '-address', '127.0.0.1',
        '-port', str(settings.PORTS['epmd'])))


def etcd(site: Site) -> Service:
    """Return etcd, for the locks of a cluster of cinder-volume."""
    clients = f'http://{settings.CONTROL}:{settings.PORTS["etcd"]}'
    peers = f'http://127.0.0.1:{settings.PORTS["etcd-peer"]}'
    return Service('etcd', (
        '/usr/bin/etcd', '--name', 'lab', '--data-dir',
        str(site.layout.run / 'etcd'), '--logger', 'zap',
        '--listen-client-urls', clients, '--advertise-client-urls', clients,
        '--listen-peer-urls', peers, '--initial-advertise-peer-urls', peers,
        '--initial-cluster', f'lab={peers}'))


def rabbitmq(site: Site) -> Service:
    """Return RabbitMQ, with its distribution port on the loopback."""
    rabbit = site.layout.rabbit
    return Service('rabbitmq', ('/usr/lib/rabbitmq/bin/rabbitmq-server',), {
        'HOME': str(rabbit),
        'ERL_EPMD_ADDRESS': '127.0.0.1',
        'ERL_EPMD_PORT': str(settings.PORTS['epmd']),
        'RABBITMQ_NODENAME': 'rabbit@localhost',
        'RABBITMQ_DIST_PORT': str(settings.PORTS['erlang']),
        'RABBITMQ_MNESIA_BASE': str(rabbit / 'mnesia'),
        'RABBITMQ_LOG_BASE': str(rabbit / 'log'),
        'RABBITMQ_LOGS': '-',
        'RABBITMQ_PID_FILE': str(rabbit / 'pid'),
        'RABBITMQ_CONFIG_FILE': str(
            site.layout.conf('rabbitmq', 'rabbitmq.conf')),
        'RABBITMQ_ENABLED_PLUGINS_FILE': str(
            site.layout.conf('rabbitmq', 'enabled_plugins')),
        'RABBITMQ_CONF_ENV_FILE': str(
            site.layout.conf('rabbitmq', 'env.conf')),
        # Otherwise it reads commands from its standard input, and exits at
        # the end of that. Two schedulers are enough.
        'RABBITMQ_ALLOW_INPUT': '1',
        'RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS':
            '+S 2:2 -noinput -kernel inet_dist_use_interface {127,0,0,1}',
    })


def keystone(site: Site) -> Service:
    """Return keystone's API."""
    return _api(site, 'keystone', 'keystone', 'keystone.wsgi.api', {
        'OS_KEYSTONE_CONFIG_DIR': str(site.layout.etc / 'keystone')})


def glance(site: Site) -> Service:
    """Return glance's API; uwsgi needs limits for chunked uploads."""
    return _api(site, 'glance', 'glance', 'glance.wsgi.api', {
        'OS_GLANCE_CONFIG_DIR': str(site.layout.etc / 'glance')},
        '--chunked-input-timeout', '60',
        '--chunked-input-limit', str(16 << 20))


def placement(site: Site) -> Service:
    """Return placement's API."""
    return _api(site, 'placement', 'placement', 'placement.wsgi.api', {
        'OS_PLACEMENT_CONFIG_DIR': str(site.layout.etc / 'placement')})


def neutron(site: Site) -> Service:
    """Return neutron's API."""
    return _api(site, 'neutron', 'neutron', 'neutron.wsgi.api', {
        'OS_NEUTRON_CONFIG_DIR': str(site.layout.etc / 'neutron'),
        'OS_NEUTRON_CONFIG_FILES': 'neutron.conf'})


def nova_api(site: Site) -> Service:
    """Return nova's API."""
    return _api(site, 'nova-api', 'nova', 'nova.wsgi.osapi_compute', {
        'OS_NOVA_CONFIG_DIR': str(site.layout.etc / 'nova')})


def cinder_api(site: Site) -> Service:
    """Return cinder's API."""
    conf = site.layout.conf('cinder', 'cinder.conf')
    return _api(site, 'cinder-api', 'cinder', 'cinder.wsgi.api', {
        'OS_CINDER_CONFIG_DIR': str(site.layout.etc / 'cinder')},
        '--pyargv', f'--config-file {conf}')


def worker(site: Site, name: str) -> Service:
    """Return a service without an API: nova-conductor or a scheduler."""
    project = name.split('-')[0]
    return Service(name, (
        site.program(name), '--config-file',
        str(site.layout.conf(project, f'{project}.conf'))))

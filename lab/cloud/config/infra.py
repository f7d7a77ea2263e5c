# SPDX-License-Identifier: Apache-2.0
"""Files of MariaDB and RabbitMQ."""

from lab.cloud import settings
from lab.cloud.config import ini
from lab.cloud.site import Site

#: All databases; "nova" is the first cell's.
DATABASES = ('keystone', 'glance', 'placement', 'neutron', 'cinder',
             'nova_api', 'nova_cell0', 'nova')


def mariadb(site: Site) -> ini.Sections:
    """Return my.cnf: small and fast; a crash may lose data.

    The socket's path is relative to the data directory, since a path may have
    at most 107 bytes (unix(7)) and the clone's own may be long.
    """
    return {'mariadbd': {
        'user': 'root',
        'datadir': str(site.layout.mysql),
        'socket': 'mysql.sock',
        'pid-file': str(site.layout.run / 'mysqld.pid'),
        'tmpdir': str(site.layout.run / 'tmp'),
        'init-file': str(site.layout.conf('mariadb', 'init.sql')),
        'bind-address': settings.CONTROL,
        'port': settings.PORTS['mariadb'],
        'skip-name-resolve': 'ON',
        'skip-log-bin': 'ON',
        'performance_schema': 'OFF',
        'innodb_buffer_pool_size': '96M',
        'innodb_log_file_size': '16M',
        'innodb_flush_log_at_trx_commit': 0,
        'innodb_doublewrite': 0,
        'innodb_flush_method': 'nosync',
        'innodb_use_native_aio': 0,
        'innodb_file_per_table': 0,
        'aria_pagecache_buffer_size': '8M',
        'key_buffer_size': '1M',
        'max_connections': 400,
        'table_open_cache': 1000,
        'max_allowed_packet': '16M',
        'character-set-server': 'utf8mb3',
        'collation-server': 'utf8mb3_general_ci',
    }}


def mariadb_init(site: Site) -> str:
    """Return the SQL that MariaDB runs at each start, a statement per line.

    It creates users and databases without a client, hence without passwords
    on a command line.
    """
    user = "'openstack'@'%'"
    return '\n'.join([
        *(f'CREATE DATABASE IF NOT EXISTS {name} CHARACTER SET utf8mb3;'
          for name in DATABASES),
        (f'CREATE USER IF NOT EXISTS {user} '
        f"IDENTIFIED BY '{site.passwords.database}';"),
        f'GRANT ALL ON *.* TO {user};',
        ("ALTER USER 'root'@'localhost' "
        f"IDENTIFIED BY '{site.passwords.database}';"),
        ''])


def rabbitmq(site: Site) -> str:
    """Return rabbitmq.conf (its own format, without sections)."""
    options = {
        'listeners.tcp.default':
            f'{settings.CONTROL}:{settings.PORTS["rabbitmq"]}',
        'default_user': 'openstack',
        'default_pass': site.passwords.messaging,
        'loopback_users': 'none',
        'vm_memory_high_watermark.absolute': '512MB',
        'disk_free_limit.absolute': '50MB',
        'collect_statistics': 'none',
        'log.file': 'false',
        'log.console': 'true',
        'log.console.level': 'warning',
    }
    return ''.join(f'{k} = {v}\n' for k, v in options.items())

# SPDX-License-Identifier: Apache-2.0
"""Create the databases with each project's own tool."""

import subprocess
import threading

import pymysql

from lab import process
from lab.cloud import errors, settings
from lab.cloud.site import Site
from lab.cloud.steps import plan

#: Names of the last step for each database, which services need.
DONE = ('keystone-bootstrap', 'glance-db', 'placement-db', 'neutron-db',
        'cinder-db', 'nova-db')


def install(site: Site) -> None:
    """Create MariaDB's own tables in an empty data directory."""
    site.layout.mysql.mkdir(parents=True)
    run(site, 'mariadb-install', (
        '/usr/bin/mariadb-install-db',
        f'--defaults-file={site.layout.conf("mariadb", "my.cnf")}',
        '--auth-root-authentication-method=normal', '--skip-test-db'))


def probe(site: Site) -> bool:
    """Tell whether MariaDB accepts our user.

    :raises OSError: when it does not; pymysql's own errors are not OSErrors.
    """
    try:
        pymysql.connect(
            host=settings.CONTROL, port=settings.PORTS['mariadb'],
            user='openstack', password=site.passwords.database,
            connect_timeout=10).close()
    except pymysql.MySQLError as e:
        raise OSError(str(e)) from e
    return True


def run(site: Site, name: str, argv: tuple[str, ...],
        abort: threading.Event | None = None, **env: str) -> None:
    """Run a program to completion, with its output in a log.

    :param argv: program and arguments, without a secret.
    :param abort: kills the program when another thread sets it.
    :param env: additions to the environment; may have a secret.
    :raises StepFailed: when it fails, with the end of its log.
    :raises Aborted: when it was killed because of ``abort``.
    """
    log = site.layout.log(f'setup-{name}')
    log.parent.mkdir(parents=True, exist_ok=True)
    marker = {settings.MARKER: settings.clone_id()}
    with log.open('ab') as out:
        child = subprocess.Popen(
            argv, env=site.environment(**env, **marker), cwd='/',
            stdin=subprocess.DEVNULL, stdout=out, stderr=out)
    try:
        while True:
            try:
                status = child.wait(0.2)
                break
            except subprocess.TimeoutExpired:
                if abort and abort.is_set():
                    raise errors.Aborted(f'stopped {name}') from None
    finally:
        if child.returncode is None:
            child.kill()
            child.wait()
    if status:
        raise errors.StepFailed(name, status, process.tail(log))


def add_steps(todo: plan.Plan, site: Site, after: str) -> None:
    """Add the steps that create every database, in three lanes.

    More lanes would gain nothing on two processors.

    :param after: name of the step that starts MariaDB.
    """
    def lane(need: str, *steps: tuple[str, str, tuple[str, ...]]) -> None:
        for name, tool, args in steps:
            argv = (site.program(tool), '--config-file',
                    str(_CONF[tool](site)), *args)
            todo.add(name, _runner(site, name, argv, todo.abort), (need,))
            need = name

    lane(after,
         ('nova-api-db', 'nova-manage', ('api_db', 'sync')),
         ('nova-cell0', 'nova-manage', ('cell_v2', 'map_cell0')),
         ('nova-cell1', 'nova-manage',
          ('cell_v2', 'create_cell', '--name', 'cell1')),
         ('nova-db', 'nova-manage', ('db', 'sync')))
    lane(after,
         ('cinder-db', 'cinder-manage', ('db', 'sync')),
         ('glance-db', 'glance-manage', ('db_sync',)),
         ('placement-db', 'placement-manage', ('db', 'sync')),
         ('neutron-db', 'neutron-db-manage', ('upgrade', 'head')))
    root = ('--keystone-user', 'root', '--keystone-group', 'root')
    lane(after,
         ('keystone-db', 'keystone-manage', ('db_sync',)),
         ('keystone-fernet', 'keystone-manage', ('fernet_setup', *root)),
         ('keystone-credential', 'keystone-manage',
          ('credential_setup', *root)))
    url = settings.url('keystone') + '/v3'
    todo.add('keystone-bootstrap', _runner(
        site, 'keystone-bootstrap', (
            site.program('keystone-manage'), '--config-file',
            str(_CONF['keystone-manage'](site)), 'bootstrap'), todo.abort,
        OS_BOOTSTRAP_PASSWORD=site.passwords.admin,
        OS_BOOTSTRAP_REGION_ID=settings.REGION,
        OS_BOOTSTRAP_ADMIN_URL=url, OS_BOOTSTRAP_INTERNAL_URL=url,
        OS_BOOTSTRAP_PUBLIC_URL=url), ('keystone-credential',))


def _runner(site: Site, name: str, argv: tuple[str, ...],
            abort: threading.Event, **env: str) -> plan.Run:
    """Return a step that runs a program."""
    return lambda: run(site, name, argv, abort, **env)


_CONF = {
    'keystone-manage': lambda s: s.layout.conf('keystone', 'keystone.conf'),
    'glance-manage': lambda s: s.layout.conf('glance', 'glance-api.conf'),
    'placement-manage': lambda s: s.layout.conf(
        'placement', 'placement.conf'),
    'neutron-db-manage': lambda s: s.layout.conf('neutron', 'neutron.conf'),
    'nova-manage': lambda s: s.layout.conf('nova', 'nova.conf'),
    'cinder-manage': lambda s: s.layout.conf('cinder', 'cinder.conf'),
}

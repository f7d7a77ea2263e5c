# SPDX-License-Identifier: Apache-2.0
"""Bring the cloud up: the steps and their order."""

import json
from pathlib import Path
import time

from lab.cloud import (
    credentials,
    down,
    errors,
    network,
    prerequisites,
    settings,
    starter,
)
from lab.cloud import site as cloud_site
from lab.cloud.config import write
from lab.cloud.control import database, seed, seed_cache, services
from lab.cloud.node import node
from lab.cloud.steps import plan, report
from lab.cloud.steps.registry import Registry
from lab.guest import image


def up(options: settings.Options, layout: settings.Layout) -> None:
    """Bring the cloud up, and move the calling thread into its namespace.

    :raises LabError: when a step fails. Everything that was started has been
        stopped then; the logs are kept.
    """
    prerequisites.check()
    prerequisites.check_fit(options)
    start = time.monotonic()
    with down.exclusively(layout):
        if is_up(layout):
            check_release(layout)
            since = layout.read_status()['since']
            report.say('The cloud is already up, since ' + time.strftime(
                '%H:%M:%S', time.localtime(since)) + '. "down" stops it.')
            network.enter()
            return
        if down.leftovers(layout):
            report.say('Removing what an earlier run left ...')
        down.clean(layout)
        try:
            _bring_up(options, layout)
        except BaseException:
            report.say(f'Stopping it; the logs are in {layout.logs}')
            down.end(layout)
            raise
    report.say(f'Up after {time.monotonic() - start:.1f} s. Logs: '
               f'{layout.logs}; credentials: "python -m lab cloud openrc".')


def is_up(layout: settings.Layout) -> bool:
    """Tell whether an ``up`` has completed and all its processes run."""
    registry = Registry(layout.pids, layout.logs)
    return (layout.read_status().get('phase') == 'up'
            and all(n.alive() for n in registry.all())
            and all(registry.get(f'node-{n}') for n in settings.Options.load(
                layout.read_status()['options']).nodes))


def check_release(layout: settings.Layout,
                  venv: Path = settings.VENV) -> None:
    """Check that the cloud that is up runs in this environment.

    :raises CloudError: when it is of another release.
    """
    running = layout.read_status().get('venv')
    if running not in (None, str(venv)):
        raise errors.CloudError(
            f'the cloud that is up runs in {running}, not in {venv}: stop it '
            'first, with "make down"')


def _bring_up(options: settings.Options, layout: settings.Layout) -> None:
    note(layout, options, 'starting')
    report.say(f'State in {layout.state}, network namespace '
               f'{settings.NAMESPACE}, {options.compute_driver}, '
               f'{"+".join(options.backends)}')
    guest = image.build()
    kept = seed_cache.SeedCache(layout, seed_cache.key(guest))
    if kept.there():
        kept.restore()
        passwords = credentials.Credentials.load(layout.credentials)
    else:
        report.say('There is no copy of seeded databases for this software: '
                   'creating them, which takes a while.')
        passwords = credentials.Credentials.generate()
        passwords.save(layout.credentials)
    site = cloud_site.Site(options, layout, passwords)
    write.write(site)
    network.create(options)
    network.enter()
    registry = Registry(layout.pids, layout.logs)
    todo = plan.Plan(report.step)
    start = starter.Starter(site, registry, todo.abort)
    seeded: tuple[str, ...] = ()
    if options.ceph:
        todo.add('ceph', start.ceph)
    if kept.there():
        todo.add('mariadb', start.mariadb)
        add_apis(todo, start, 'mariadb', options.images)
        add_workers(todo, start, after=('mariadb',))
    else:
        seeded = ('seeded copy',)
        add_seeding(todo, start, site, kept, guest)
        add_workers(todo, start, after=seeded)
    boot_after = (*seeded, *(('ceph',) if options.ceph else ()))
    if options.volumes > 1:
        todo.add('etcd', start.etcd)
        boot_after = (*boot_after, 'etcd')
    if options.hosts:
        add_nodes(todo, start, after=boot_after)
    add_cluster(todo, start, options, boot_after)
    for name in options.gateway_nodes:
        todo.add(f'node {name}', start.boot(name), boot_after)
        todo.add(f'start of {name}', start.agent(name), (f'node {name}',))
    if options.images == settings.ON_STORAGE:
        add_images(todo, start, after=seeded)
    elif options.images == settings.IN_CEPH:
        todo.add('images in Ceph', start.move_images,
                 (*boot_after, 'glance', 'keystone'))
    add_reports(todo, start, options.hosts)
    for name in options.more_volume_nodes:
        todo.add(f'cinder-volume on {name} reports up',
                 start.reported('cinder-volume', name),
                 ('cinder-volume reports up', f'start of {name}'))
    if options.backup:
        todo.add('cinder-backup reports up', start.reported(node.BACKUP),
                 ('cinder-volume reports up',))
    todo.run()
    note(layout, options, 'up')


def note(layout: settings.Layout, options: settings.Options,
         phase: str) -> None:
    """Write the status file, for the other commands."""
    layout.state.mkdir(parents=True, exist_ok=True)
    scratch = layout.status.with_suffix('.new')
    scratch.write_text(json.dumps({
        'phase': phase, 'since': time.time(), 'options': options.dump(),
        'venv': str(settings.VENV)}))
    scratch.replace(layout.status)


#: The APIs, each after those that it needs. They start one at a time, since a
#: machine may have two cores, and the workers start in parallel.
_APIS = (('keystone', services.keystone), ('placement', services.placement),
         ('nova-api', services.nova_api), ('cinder-api', services.cinder_api),
         ('neutron', services.neutron), ('glance', services.glance))


def add_apis(todo: plan.Plan, start: starter.Starter, after: str,
             images: str = settings.IN_CONTROL) -> None:
    """Add the APIs; their databases exist.

    :param images: where glance keeps images.
    """
    for name, make in _APIS:
        if name == 'glance' and images == settings.ON_STORAGE:
            continue
        todo.add(name, start.api(name, make), (after,))
        after = name


def add_workers(todo: plan.Plan, start: starter.Starter,
                after: tuple[str, ...]) -> None:
    """Add RabbitMQ and the services without an API.

    The first one is nova-conductor, which exits if it asks placement for its
    versions while placement is starting.
    """
    todo.add('rabbitmq', start.rabbitmq, after)
    need: tuple[str, ...] = ('rabbitmq', 'placement', *after)
    for name in ('nova-conductor', 'cinder-scheduler', 'nova-scheduler'):
        todo.add(name, start.worker(name), need)
        need = (name,)


def add_nodes(todo: plan.Plan, start: starter.Starter,
              after: tuple[str, ...]) -> None:
    """Add the nodes and their services.

    nova-compute starts after the conductor, since it would wait for timeouts
    of 10 s otherwise; cinder-volume after cinder-scheduler, which would miss
    its first report otherwise.
    """
    todo.add('node storage', start.boot('storage'), after)
    todo.add('node compute', start.boot('compute'), after)
    todo.add('start of cinder-volume', start.agent('storage'),
             ('node storage', 'cinder-scheduler'))
    todo.add('start of nova-compute', start.agent('compute'),
             ('node compute', 'nova-conductor', 'keystone', 'placement'))


def add_cluster(todo: plan.Plan, start: starter.Starter,
                options: settings.Options, after: tuple[str, ...]) -> None:
    """Add the other nodes of a cluster of cinder-volume.

    The first one adds the backends to the cluster.
    """
    for name in options.more_volume_nodes:
        todo.add(f'node {name}', start.boot(name), after)
        todo.add(f'start of {name}', start.agent(name),
                 (f'node {name}', 'start of cinder-volume'))


def add_images(todo: plan.Plan, start: starter.Starter,
               after: tuple[str, ...]) -> None:
    """Move glance to the storage node, with its address and files."""
    todo.add('glance leaves', start.leave_images, after)
    todo.add('glance on storage', start.images,
             ('glance leaves', 'start of cinder-volume', 'keystone'))


def add_reports(todo: plan.Plan, start: starter.Starter,
                hosts: bool = True) -> None:
    """Add the last steps: every service has reported itself up.

    :param hosts: also those of nodes ``storage`` and ``compute``.
    """
    nova = ('nova-api', 'keystone')
    cinder = ('cinder-api', 'keystone')
    for name, needs in (
            ('nova-conductor', (*nova, 'nova-conductor')),
            ('nova-scheduler', (*nova, 'nova-scheduler')),
            ('cinder-scheduler', (*cinder, 'cinder-scheduler')),
            *((('nova-compute', (*nova, 'placement', 'start of nova-compute')),
               ('cinder-volume', (*cinder, 'start of cinder-volume')))
              if hosts else ())):
        todo.add(f'{name} reports up', start.reported(name), needs)


def add_seeding(todo: plan.Plan, start: starter.Starter,
                site: cloud_site.Site, kept: seed_cache.SeedCache,
                guest: Path) -> None:
    """Add the steps that create the databases and keep a copy."""
    todo.add('mariadb-install', lambda: database.install(site))
    todo.add('mariadb', start.mariadb, ('mariadb-install',))
    database.add_steps(todo, site, 'mariadb')
    needs: tuple[str, ...] = ('keystone-bootstrap',)
    for name, make in _APIS:
        todo.add(name, start.api(name, make), (*needs, *_DATABASES[name]))
        needs = (name,)
        if name == 'keystone':
            todo.add('catalogue', lambda: seed.catalogue(
                start.client, site.passwords.service), ('keystone',))
            needs = ('catalogue',)
    todo.add('flavours', lambda: seed.flavors(start.client), ('nova-api',))
    todo.add('volume types', lambda: seed.volume_types(start.client),
             ('cinder-api',))
    todo.add('images', lambda: seed.images(start.client, guest),
             ('glance',))

    def keep() -> None:
        start.stop_mariadb()
        kept.keep()
        start.mariadb()   # services reconnect by themselves

    todo.add('seeded copy', keep, ('flavours', 'volume types', 'images'))


_DATABASES: dict[str, tuple[str, ...]] = {
    'keystone': (), 'placement': ('placement-db',), 'nova-api': ('nova-db',),
    'cinder-api': ('cinder-db',), 'neutron': ('neutron-db',),
    'glance': ('glance-db',)}

# SPDX-License-Identifier: Apache-2.0
"""Write every configuration file of a cloud."""

import shutil

from lab.cloud import credentials
from lab.cloud.config import (
    cinder,
    gateway,
    glance,
    infra,
    ini,
    keystone,
    neutron,
    nova,
    placement,
)
from lab.cloud.site import Site

#: Files of the releases that are used unchanged.
_RELEASED = {
    'glance': ('glance-api-paste.ini',),
    'nova': ('api-paste.ini',),
    'neutron': ('api-paste.ini',),
    'cinder': ('api-paste.ini', 'resource_filters.json', 'rootwrap.conf'),
}


def files(site: Site) -> dict[tuple[str, str], str]:
    """Return the text of every file that we write, by directory and name."""
    sections = {
        ('mariadb', 'my.cnf'): infra.mariadb(site),
        ('keystone', 'keystone.conf'): keystone.keystone(site),
        ('glance', 'glance-api.conf'): glance.glance(site),
        ('placement', 'placement.conf'): placement.placement(site),
        ('neutron', 'neutron.conf'): neutron.neutron(site),
        ('nova', 'nova.conf'): nova.nova(site),
        ('nova', nova.COMPUTE_CONF): nova.compute(site),
        ('cinder', 'cinder.conf'): cinder.cinder(site),
        **{('cinder', cinder.volume_conf(name)): cinder.volume(site, name)
           for name in site.options.volume_nodes},
        **{('gateway', gateway.path(site, name).name):
           gateway.gateway(site, name)
           for name in site.options.gateway_nodes},
    }
    return {
        **{where: ini.render(parts) for where, parts in sections.items()},
        ('mariadb', 'init.sql'): infra.mariadb_init(site),
        ('rabbitmq', 'rabbitmq.conf'): infra.rabbitmq(site),
        ('rabbitmq', 'enabled_plugins'): '[].\n',
        ('rabbitmq', 'env.conf'): '',
    }


def write(site: Site) -> None:
    """Write them readable only for root, since most have passwords."""
    layout = site.layout
    for (service, name), text in files(site).items():
        credentials.write_private(layout.conf(service, name), text)
    for service, names in _RELEASED.items():
        for name in names:
            shutil.copy(site.venv / 'etc' / service / name,
                        layout.conf(service, name))
    _rootwrap(site)
    for folder in (layout.locks, layout.run / 'tmp', layout.logs,
                   *(layout.lib / s for s in (
                       'keystone', 'glance', 'nova', 'cinder', 'neutron'))):
        folder.mkdir(parents=True, exist_ok=True)
    cookie = layout.rabbit / '.erlang.cookie'
    credentials.write_private(cookie, site.passwords.erlang_cookie)
    cookie.chmod(0o400)   # Erlang accepts no other mode


def _rootwrap(site: Site) -> None:
    """Make cinder's rootwrap use our filters and programs."""
    filters = site.layout.conf('cinder', 'rootwrap.d')
    shutil.copytree(site.venv / 'etc' / 'cinder' / 'rootwrap.d', filters,
                    dirs_exist_ok=True)
    path = site.layout.conf('cinder', 'rootwrap.conf')
    lines = []
    for line in path.read_text().splitlines():
        if line.startswith('filters_path='):
            line = f'filters_path={filters}'
        elif line.startswith('exec_dirs='):
            line = line.replace('=', f'={site.venv}/bin,', 1)
        lines.append(line)
    path.write_text('\n'.join(lines) + '\n')

# SPDX-License-Identifier: Apache-2.0
"""What an operator's hosts have before the driver is installed.

Names, addresses, the OpenStack service with its unit and its configuration,
as the services of a cloud are that runs already. Nothing of it is the
driver's, and nothing lets a service become root but Nova's own rootwrap.
"""

import os
from pathlib import Path

from lab.cloud import driver, settings
from lab.cloud.config import cinder, ini, nova
from lab.cloud.site import Site
from lab.scenarios.install import roots

_UNIT = '''[Unit]
Description={unit} of OpenStack
Wants=network-online.target
After=network-online.target libvirtd.service

[Service]
User={service}
Environment=PYTHONWARNINGS=ignore
ExecStart=/opt/{service}/bin/{unit} --config-file /etc/{service}/{service}.conf
KillMode=mixed
TimeoutStopSec=15

[Install]
WantedBy=multi-user.target
'''

#: Nova needs it for what is none of the driver's, such as the date of a file.
#: As deployments with a virtual environment have it.
_SUDO = '''Defaults:nova secure_path="/opt/nova/bin:/usr/sbin:/usr/bin"
nova ALL = (root) NOPASSWD: /opt/nova/bin/nova-rootwrap \\
    /etc/nova/rootwrap.conf *
'''
#: Its file in sudoers.d.
SUDO = 'nova'

#: A node has no AppArmor and no cgroup v1, and QEMU runs as its root.
_QEMU = '''security_driver = "none"
cgroup_controllers = []
namespaces = []
user = "root"
group = "root"
remember_owner = 0
'''

#: See lab/cloud/node/compute.sh.
_LIBVIRTD = f'''host_uuid = "{settings.HOST_UUID}"
auth_unix_rw = "none"
keepalive_interval = -1
'''


def write(root: Path, kind: roots.Kind, site: Site) -> None:
    """Write it all to a root.

    :param root: unpacked from :func:`roots.given`.
    :param site: the cloud that the host belongs to.
    """
    (root / 'etc/hostname').write_text(f'{kind.name}\n')
    (root / 'etc/hosts').write_text('127.0.0.1 localhost\n' + ''.join(
        f'{address} {name}\n' for address, name in (
            (settings.CONTROL, 'control'),
            *((settings.address(n), n) for n in settings.NODES))))
    (root / 'etc/resolv.conf').write_text('')
    _own(root, kind, f'etc/{kind.service}/{kind.service}.conf',
         ini.render(configuration(kind, site)))
    unit = f'{kind.unit}.service'
    place = root / 'etc/systemd/system'
    (place / unit).write_text(_UNIT.format(unit=kind.unit,
                                           service=kind.service))
    link = place / 'multi-user.target.wants' / unit
    link.parent.mkdir(exist_ok=True)
    link.symlink_to(f'/etc/systemd/system/{unit}')
    if kind is roots.STORAGE:
        for name in ('rootwrap.conf', 'api-paste.ini'):
            source = root / 'opt/cinder/etc/cinder' / name
            _own(root, kind, f'etc/cinder/{name}', source.read_text())
        return
    _rootwrap(root)
    (root / 'etc/libvirt/qemu.conf').write_text(_QEMU)
    (root / 'etc/libvirt/libvirtd.conf').write_text(_LIBVIRTD)
    _own(root, kind, 'var/lib/nova/compute_id', settings.COMPUTE_ID + '\n')
    for name in ('instances', 'lock'):
        _folder(root, kind, f'var/lib/nova/{name}')


def _rootwrap(root: Path) -> None:
    """Install Nova's rootwrap, with what its package brings for that."""
    source = root / 'opt/nova/etc/nova'
    place = root / 'etc/nova'
    text = (source / 'rootwrap.conf').read_text()
    if 'exec_dirs=' not in text:
        raise ValueError(f'{source}/rootwrap.conf has no exec_dirs')
    (place / 'rootwrap.conf').write_text(
        text.replace('exec_dirs=', 'exec_dirs=/opt/nova/bin,'))
    (place / 'rootwrap.d').mkdir()
    for filters in (source / 'rootwrap.d').iterdir():
        (place / 'rootwrap.d' / filters.name).write_text(filters.read_text())
    rule = root / 'etc/sudoers.d' / SUDO
    # The page installs sudo, or Nova's deployment has done so before.
    rule.parent.mkdir(mode=0o750, exist_ok=True)
    rule.write_text(_SUDO)
    rule.chmod(0o440)


def configuration(kind: roots.Kind, site: Site) -> ini.Sections:
    """Return the service's configuration without this driver."""
    if kind is roots.STORAGE:
        found = cinder.volume(site)
        found['DEFAULT'] |= {'rootwrap_config': '/etc/cinder/rootwrap.conf',
                             'enabled_backends': ''}
        del found['DEFAULT']['default_volume_type']
    else:
        found = nova.compute(site)
        found['DEFAULT']['compute_driver'] = 'libvirt.LibvirtDriver'
    return {name: options for name, options in found.items()
            if 'helper_command' not in options
            and name not in driver.BACKENDS}


def _own(root: Path, kind: roots.Kind, path: str, text: str) -> None:
    """Write a file that belongs to the service's user."""
    if not (root / path).parent.exists():
        _folder(root, kind, str(Path(path).parent))
    (root / path).write_text(text)
    (root / path).chmod(0o640)
    _give(root, kind, path)


def _folder(root: Path, kind: roots.Kind, path: str) -> None:
    (root / path).mkdir(mode=0o755)
    _give(root, kind, path)


def _give(root: Path, kind: roots.Kind, path: str) -> None:
    """Give a file to the service's user, as the root numbers it."""
    for line in (root / 'etc/passwd').read_text().splitlines():
        name, _, uid, gid, *_ = line.split(':')
        if name == kind.service:
            os.chown(root / path, int(uid), int(gid))

# SPDX-License-Identifier: Apache-2.0
"""What the machine needs before ``up`` can work."""

from collections.abc import Iterable
import os
from pathlib import Path
import shutil

from lab.cloud import driver, errors, settings

#: Programs, and the Debian packages that have them.
BINARIES = {
    'ip': 'iproute2',
    'taskset': 'util-linux',
    'mariadbd': 'mariadb-server-core',
    'mariadb-install-db': 'mariadb-server-core',
    'epmd': 'erlang-base',
    '/usr/lib/rabbitmq/bin/rabbitmq-server': 'rabbitmq-server',
    'linux.uml': 'user-mode-linux',
    '/lib/systemd/systemd-udevd': 'udev',
    'modprobe': 'kmod',
    'pgrep': 'procps',
    'mkfs.xfs': 'xfsprogs',
    'iscsid': 'open-iscsi',
    'iscsiadm': 'open-iscsi',
    'multipathd': 'multipath-tools',
    'libvirtd': 'libvirt-daemon',
    'virtlogd': 'libvirt-daemon',
    'qemu-system-x86_64': 'qemu-system-x86',
    'qemu-img': 'qemu-utils',
    'lvs': 'lvm2',
    'thin_check': 'thin-provisioning-tools',
    'etcd': 'etcd-server',
    'ceph-mon': 'ceph-mon',
    'ceph-mgr': 'ceph-mgr',
    'ceph-osd': 'ceph-osd',
    'rbd': 'ceph-common',
}

#: Programs of the virtual environment.
PROGRAMS = (
    'uwsgi', 'keystone-manage', 'glance-manage', 'placement-manage',
    'neutron-db-manage', 'nova-manage', 'nova-conductor', 'nova-scheduler',
    'nova-compute', 'cinder-manage', 'cinder-scheduler', 'cinder-volume',
    'privsep-helper', driver.PROGRAM,
)

#: What Cinder has since it can have native threads, in 29.
_HAS_MODES = 'cinder/monkey_patch.py'

_SBIN = '/usr/sbin:/usr/bin:/sbin:/bin'


def missing_packages(binaries: dict[str, str] = BINARIES) -> list[str]:
    """Return the Debian packages that are missing, sorted."""
    return sorted({package for binary, package in binaries.items()
                   if not shutil.which(binary, path=_SBIN)})


def missing_programs(venv: Path = settings.VENV,
                     programs: Iterable[str] = PROGRAMS) -> list[str]:
    """Return the programs that the virtual environment lacks."""
    return [p for p in programs if not (venv / 'bin' / p).exists()]


def check_root() -> None:
    """Check that we are root.

    :raises CloudError: saying why it is needed.
    """
    if os.geteuid():
        raise errors.CloudError(
            'run this as root: the cloud needs a network namespace with a '
            'bridge and taps, and its nodes read all of the machine\'s files')


def check_fit(options: settings.Options,
              venv: Path = settings.VENV) -> None:
    """Check that options go together, and with the release of OpenStack.

    :param venv: the environment that has the services.
    :raises CloudError: when one needs another one, or another release.
    """
    ours = options.store == driver.RBD
    for name, value, fits in (
            ('native', options.native, ours or options.native == driver.NEVER),
            ('gateways', options.gateways, ours or not options.gateways),
            ('volumes', options.volumes, ours or options.volumes == 1),
            ('images', options.images,
             options.ceph or options.images != settings.IN_CEPH)):
        if not fits:
            raise errors.CloudError(
                f'--{name} {value} needs --store {driver.RBD}')

    if options.volumes > 1 and not options.gateways:
        raise errors.CloudError(
            f'--volumes {options.volumes} needs --gateways: targets on a node '
            'with cinder-volume belong to that node')
    if options.cinder_mode != settings.CINDER_MODES[0] and not any(
            venv.glob(f'lib/*/site-packages/{_HAS_MODES}')):
        raise errors.CloudError(
            f'--cinder-mode {options.cinder_mode} needs Cinder 29 or newer, '
            f'and {venv} has an older one: leave RELEASE out')


def check() -> None:
    """Check everything.

    :raises CloudError: naming what is missing and how to get it.
    """
    check_root()
    packages = missing_packages()
    if packages:
        raise errors.CloudError(
            'programs are missing; install them with: apt-get install '
            '--no-install-recommends ' + ' '.join(packages))
    programs = missing_programs()
    if programs:
        raise errors.CloudError(
            f'{settings.VENV} has no {", ".join(programs)}: run "make '
            'bootstrap", and the lab with .lab/venv/bin/python')
    if not Path('/dev/net/tun').exists():
        raise errors.CloudError('/dev/net/tun is missing: modprobe tun')

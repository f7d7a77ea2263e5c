# SPDX-License-Identifier: Apache-2.0
"""Names, addresses, paths and options of the cloud."""

import dataclasses
import hashlib
import json
from pathlib import Path
from typing import Any, Self

from lab import paths
from lab.cloud import driver

ROOT = paths.ROOT

#: The virtual environment that has the services.
VENV = paths.VENV

#: Everything that the cloud writes, except the namespace's name in /run/netns,
#: which is removed with the namespace.
STATE = paths.STATE / 'cloud'

#: Address of the control plane on the bridge.
CONTROL = '10.77.0.1'
#: Address of glance, which runs in one of :data:`IMAGE_PLACES`.
GLANCE = '10.77.0.10'
#: Prefixes of the bridge's two subnets; the second one is for multipath.
SUBNETS = ('10.77.0', '10.77.1')
#: Last octet of each node's addresses.
NODES = {'storage': 11, 'compute': 12}

# The standard ports: the namespace is the cloud's own.
PORTS = {
    'keystone': 5000, 'glance': 9292, 'placement': 8778, 'nova': 8774,
    'cinder': 8776, 'neutron': 9696, 'mariadb': 3306, 'rabbitmq': 5672,
    'epmd': 4369, 'erlang': 25672,
}

REGION = 'RegionOne'

#: Fixed identities in the seeded databases.
IMAGE_ID = '11111111-1111-4111-8111-111111111111'
IMAGE = 'tiny'
#: Two images of a guest that does nothing (lab/guest/sector.py).
SECTOR_IDS = ('22222222-2222-4222-8222-222222222222',
              '33333333-3333-4333-8333-333333333333')
FLAVOR_ID = '42'
FLAVOR = 'm1.nano'
FLAVOR_ALT_ID = '84'
FLAVOR_ALT = 'm1.micro'
COMPUTE_ID = '5f0c2a1e-6d8b-4a55-9d43-0c0ffee00012'
HOST_UUID = '7a1d5c1e-0b8f-4f0e-9a77-0c0ffee00012'

#: Names of the volume backends that the lab can configure.
LVM = 'lvm'
BACKENDS = (*driver.BACKENDS, LVM)

#: Volume group of the in-tree driver.
LVM_GROUP = 'stack-volumes'

#: Stores of our driver's backends.
STORES = driver.STORES

#: Threads of cinder-volume: eventlet's green threads, or native ones.
CINDER_MODES = ('green', 'native')

#: Where glance runs and keeps its files: with the other APIs, or on the
#: storage node, on the filesystem of the ``reflink`` store.
IMAGE_PLACES = ('control', 'storage')


def host(service: str) -> str:
    """Return the address that an API listens on."""
    return GLANCE if service == 'glance' else CONTROL


def url(service: str) -> str:
    """Return the URL of an API, without a version."""
    return f'http://{host(service)}:{PORTS[service]}'


def address(node: str, subnet: int = 0) -> str:
    """Return a node's address in one of the two subnets."""
    return f'{SUBNETS[subnet]}.{NODES[node]}'


def clone_id(root: Path = ROOT) -> str:
    """Return eight hex digits that distinguish the clones on a machine."""
    return hashlib.sha256(str(root).encode()).hexdigest()[:8]


#: Name of the network namespace.
NAMESPACE = f'lab-{clone_id()}'

#: Variable that marks every process that ``up`` starts.
MARKER = 'LAB_CLOUD'


@dataclasses.dataclass(frozen=True, slots=True)
class Options:
    """Options of ``up``.

    :param compute_driver: nova's ``compute_driver``.
    :param backends: names from :data:`BACKENDS`; the first is the default.
    :param portals: number of addresses the target listens on, 1 or 2.
    :param store: store of our driver's backends, from :data:`STORES`.
    :param cinder_mode: threads of cinder-volume, from :data:`CINDER_MODES`.
    :param storage_gib: size of each of the storage node's disks, which are
        sparse files.
    :param images: where glance runs, from :data:`IMAGE_PLACES`.
    :param backup: run cinder-backup too, on the storage node.
    :param code: directory that has the driver's package for the nodes; empty
        for the clone's own.
    :param debug_all: log at DEBUG in every service, so that everything ever
        logged can be searched; otherwise only in cinder-volume and
        nova-compute.
    """

    compute_driver: str = driver.COMPUTE_DRIVER
    backends: tuple[str, ...] = (driver.BACKEND,)
    portals: int = 1
    store: str = 'reflink'
    cinder_mode: str = 'green'
    storage_gib: int = 200
    images: str = 'control'
    backup: bool = False
    code: str = ''
    debug_all: bool = True

    def full(self) -> Self:
        """Return them with all that OpenStack's own tests need."""
        return dataclasses.replace(self, backup=True, backends=tuple(
            dict.fromkeys((*self.backends, driver.BACKEND_2))))

    def dump(self) -> dict[str, Any]:
        """Return them as types of JSON."""
        return dataclasses.asdict(self)

    @property
    def volume_groups(self) -> tuple[str, ...]:
        """The storage node's volume groups; each has a disk."""
        groups = {LVM: LVM_GROUP}
        if self.store == 'lvmthin':
            groups |= driver.GROUPS
        return tuple(groups[name] for name in (LVM, *driver.BACKENDS)
                     if name in groups and name in self.backends)

    @classmethod
    def load(cls, data: dict[str, Any]) -> Self:
        """Return the options that :meth:`dump` returned."""
        return cls(**{**data, 'backends': tuple(data['backends'])})


class Layout:
    """Paths of the cloud's files.

    :param state: the directory that has them all.
    """

    def __init__(self, state: Path = STATE) -> None:
        self.state = state
        self.run = state / 'run'      # removed by the next ``up``
        self.seeds = state / 'seed'   # kept copies, a folder for each key
        self.logs = state / 'log'
        self.pids = state / 'pid'
        self.disks = state / 'disk'
        self.etc = self.run / 'etc'
        self.lib = self.run / 'lib'
        self.mysql = self.run / 'mysql'
        self.rabbit = self.run / 'rabbit'
        self.locks = self.run / 'lock'
        self.credentials = self.run / 'credentials.json'
        self.status = state / 'status.json'
        self.lock = state / 'lock'

    def conf(self, service: str, name: str) -> Path:
        """Return the path of a configuration file."""
        return self.etc / service / name

    def log(self, name: str) -> Path:
        """Return the path of a service's log."""
        return self.logs / f'{name}.log'

    def read_status(self) -> dict[str, Any]:
        """Return what ``up`` wrote last; empty if the cloud is not up."""
        try:
            return dict(json.loads(self.status.read_text()))
        except FileNotFoundError:
            return {}

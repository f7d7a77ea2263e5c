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
#: Prefix of Ceph's own network, and Ceph's address there.
CEPH_SUBNET = '10.77.2'
CEPH = f'{CEPH_SUBNET}.1'
#: Last octet of the addresses of the nodes that every cloud has.
NODES = {'storage': 11, 'compute': 12}
#: The same of more nodes with cinder-volume; a cloud has the first few.
VOLUMES = {f'storage{n}': 11 + n for n in range(2, 4)}
#: The same of gateways; a cloud has the first few.
GATEWAYS = {f'gw{n}': 20 + n for n in range(1, 9)}
ALL_NODES = NODES | VOLUMES | GATEWAYS

# The standard ports: the namespace is the cloud's own.
PORTS = {
    'keystone': 5000, 'glance': 9292, 'placement': 8778, 'nova': 8774,
    'cinder': 8776, 'neutron': 9696, 'mariadb': 3306, 'rabbitmq': 5672,
    'epmd': 4369, 'erlang': 25672, 'etcd': 2379, 'etcd-peer': 2380,
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

#: ``cluster`` of several cinder-volume services.
CLUSTER = 'lab'

#: Names of the volume backends that the lab can configure.
LVM, RBD = IN_TREE = ('lvm', 'rbd')
BACKENDS = (*driver.BACKENDS, *IN_TREE)

#: Volume group of the in-tree driver.
LVM_GROUP = 'stack-volumes'

#: Ceph's pool of the in-tree driver.
RBD_POOL = 'in-tree'
#: All pools that Ceph's user may use.
CEPH_POOLS = (*driver.CEPH_POOLS, RBD_POOL)

#: Stores of our driver's backends.
STORES = driver.STORES

#: Which hosts reach an ``rbd`` store's volumes without the target: those with
#: our plugin, all, or none.
NATIVE = driver.NATIVE

#: Threads of cinder-volume: eventlet's green threads, or native ones.
CINDER_MODES = ('green', 'native')

#: Where glance keeps images: in files, with the other APIs or on the storage
#: node (where it runs then), on the filesystem of the ``reflink`` store; or in
#: Ceph.
IMAGE_PLACES = IN_CONTROL, ON_STORAGE, IN_CEPH = ('control', 'storage', 'rbd')


def host(service: str) -> str:
    """Return the address that an API listens on."""
    return GLANCE if service == 'glance' else CONTROL


def url(service: str) -> str:
    """Return the URL of an API, without a version."""
    return f'http://{host(service)}:{PORTS[service]}'


def address(node: str, subnet: int = 0) -> str:
    """Return a node's address in one of the two subnets."""
    return f'{SUBNETS[subnet]}.{ALL_NODES[node]}'


def ceph_address(node: str) -> str:
    """Return a node's address in Ceph's network."""
    return f'{CEPH_SUBNET}.{ALL_NODES[node]}'


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
    :param native: which hosts reach an ``rbd`` store's volumes without the
        target, from :data:`NATIVE`.
    :param cinder_mode: threads of cinder-volume, from :data:`CINDER_MODES`.
    :param storage_gib: size of each of the storage node's disks, which are
        sparse files, and of Ceph's.
    :param images: where glance keeps images, from :data:`IMAGE_PLACES`.
    :param gateways: number of gateways that serve an ``rbd`` store's targets;
        with none node ``storage`` does.
    :param volumes: number of nodes with cinder-volume; more than one are a
        cluster.
    :param hosts: boot nodes ``storage`` and ``compute``; without, there are
        only their taps, and somebody else boots them.
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
    native: str = driver.NEVER
    gateways: int = 0
    volumes: int = 1
    hosts: bool = True

    def full(self) -> Self:
        """Return them with all that OpenStack's own tests need."""
        return dataclasses.replace(self, backup=True, backends=tuple(
            dict.fromkeys((*self.backends, driver.BACKEND_2))))

    def dump(self) -> dict[str, Any]:
        """Return them as types of JSON."""
        return dataclasses.asdict(self)

    @property
    def ceph(self) -> bool:
        """Whether the cloud has a Ceph."""
        return self.store == driver.RBD or RBD in self.backends

    @property
    def nodes(self) -> tuple[str, ...]:
        """The names of the cloud's nodes."""
        return (*NODES, *self.more_volume_nodes, *self.gateway_nodes)

    @property
    def more_volume_nodes(self) -> tuple[str, ...]:
        """The names of those with cinder-volume besides ``storage``."""
        return tuple(VOLUMES)[:self.volumes - 1]

    @property
    def volume_nodes(self) -> tuple[str, ...]:
        """The names of all with cinder-volume."""
        return ('storage', *self.more_volume_nodes)

    @property
    def gateway_nodes(self) -> tuple[str, ...]:
        """The names of the gateways among them."""
        return tuple(GATEWAYS)[:self.gateways]

    @property
    def natively(self) -> bool:
        """Whether the compute node reaches volumes without the target."""
        return self.store == driver.RBD and (
            self.native == driver.ALWAYS or (
                self.native == driver.PLUGIN
                and self.compute_driver == driver.COMPUTE_DRIVER))

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
        self.ceph_seeds = state / 'seed-ceph'   # likewise
        self.logs = state / 'log'
        self.pids = state / 'pid'
        self.disks = state / 'disk'
        self.etc = self.run / 'etc'
        self.lib = self.run / 'lib'
        self.mysql = self.run / 'mysql'
        self.ceph = self.run / 'ceph'
        self.ceph_conf = self.ceph / 'host' / 'ceph.conf'
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

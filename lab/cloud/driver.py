# SPDX-License-Identifier: Apache-2.0
"""All that the lab knows of the driver under test.

Names, options, paths and log lines: what the lab writes into configuration,
runs on a node and reads in a log. It imports none of the driver's code.
"""

from collections.abc import Sequence
import re

from lab import paths
from lab.cloud.config import ini

#: The package, and where the clone has it.
PACKAGE = 'mydriver'
CODE = paths.ROOT / PACKAGE

#: Its command.
PROGRAM = 'mydriver'

# -- nova-compute

#: ``compute_driver`` in nova.conf.
COMPUTE_DRIVER = 'mydriver.LibvirtDriver'

#: Section of the privileged daemon of nova-compute.
INITIATOR_SECTION = 'mydriver_privsep_initiator'

# -- cinder-volume

#: ``volume_driver`` in cinder.conf.
VOLUME_DRIVER = 'mydriver.cinder_volume.driver.LIODriver'

#: Section of the privileged daemon of cinder-volume.
TARGET_SECTION = 'mydriver_privsep_target'

#: Backends; the names of their volume types, too.
BACKEND, BACKEND_2 = BACKENDS = ('mydriver', 'mydriver-2')

#: Values of ``mydriver_store``.
STORES = REFLINK, LVMTHIN, RBD = ('reflink', 'lvmthin', 'rbd')

#: Where node ``storage`` mounts the disk that outlives a reboot (storage.sh);
#: cinder's ``state_path``.
DISK = '/var/lib/cinder'

#: ``mydriver_state_path``: the journals of both backends.
STATE = f'{DISK}/mydriver-state'
#: Files of the first backend below it.
JOURNAL = f'{STATE}/{BACKEND}/journal.sqlite'
CHAP_KEY = f'{STATE}/{BACKEND}/chap.key'

#: Directory of each backend's volumes on the ``reflink`` store.
FOLDERS = {BACKEND: f'{DISK}/mydriver', BACKEND_2: f'{DISK}/mydriver-2'}
#: A file there that is the store's own and no volume's.
STORE_MARK = '.mydriver-store'
#: Volume group of each backend on ``lvmthin``. The driver makes the thin pool.
GROUPS = {BACKEND: 'mydriver-volumes', BACKEND_2: 'mydriver-volumes-2'}
#: The first backend's thin pool.
POOL = f'{GROUPS[BACKEND]}/mydriver'

#: Ceph's pool of each backend on ``rbd``.
CEPH_BACKEND_POOLS = {BACKEND: 'volumes', BACKEND_2: 'volumes-2'}
#: Ceph's pool of glance's images.
CEPH_IMAGES = 'images'
#: All of these.
CEPH_POOLS = (*CEPH_BACKEND_POOLS.values(), CEPH_IMAGES)
#: ``mydriver_rbd_user``.
CEPH_USER = 'cinder'
#: ``mydriver_rbd_secret_uuid``: libvirt's secret that has the user's key.
SECRET = '6f1b2a54-2d0a-4c39-8d6e-0c0ffee00013'
#: Values of ``mydriver_rbd_native``.
NATIVE = PLUGIN, ALWAYS, NEVER = ('plugin', 'always', 'never')

#: RADOS namespace of the first backend's gateways, and prefix of the objects
#: there that name the owners of targets.
NAMESPACE = f'mydriver.{BACKEND}'
OWNER = 'mydriver.owner.'

#: Last octets of the floating addresses, one for each target of a backend.
FLOATING = {BACKEND: range(101, 103), BACKEND_2: range(111, 113)}

#: ``target_prefix`` in cinder.conf.
TARGET_PREFIX = 'iqn.2010-10.org.openstack:'


def store_path(backend: str, store: str) -> str:
    """Return ``mydriver_store_path`` of a backend on a local store."""
    return (FOLDERS if store == REFLINK else GROUPS)[backend]


def _place(backend: str, store: str, native: str) -> ini.Section:
    """Return the options that say where a backend's volumes are."""
    if store != RBD:
        return {'mydriver_store_path': store_path(backend, store)}
    return {
        'mydriver_rbd_pool': CEPH_BACKEND_POOLS[backend],
        'mydriver_rbd_user': CEPH_USER,
        'mydriver_rbd_secret_uuid': SECRET,
        'mydriver_rbd_native': native,
    }


def section(backend: str, store: str, portals: Sequence[str],
            native: str = NEVER, floating: Sequence[str] = ()) -> ini.Section:
    """Return the section of a backend in cinder.conf.

    :param backend: out of :data:`BACKENDS`.
    :param store: out of :data:`STORES`.
    :param portals: addresses of the target.
    :param native: out of :data:`NATIVE`.
    :param floating: prefixes of the subnets of gateways, such as ``10.0.0.``;
        empty if there are none.
    """
    options: ini.Section = {
        'volume_driver': VOLUME_DRIVER,
        'volume_backend_name': backend,
        'mydriver_store': store,
        **_place(backend, store, native),
        'mydriver_state_path': STATE,
        'target_prefix': TARGET_PREFIX,
        'target_port': 3260,
        'use_chap_auth': True,
    }
    if floating:
        options['mydriver_gateway_addresses'] = ','.join(
            '+'.join(f'{prefix}{octet}' for prefix in floating)
            for octet in FLOATING[backend])
        # The control plane has this address, which is in the same network.
        options['mydriver_gateway_witnesses'] = f'{floating[0]}1'
        return options
    options['target_ip_address'] = portals[0]
    if len(portals) > 1:
        options['target_secondary_ip_addresses'] = ','.join(portals[1:])
    return options


def gateway(conf: str) -> tuple[str, ...]:
    """Return the command of a gateway's daemon.

    :param conf: its configuration file.
    """
    return (PROGRAM, 'gateway', '--config-file', conf)


def restore(conf: str) -> tuple[str, ...]:
    """Return the command that rebuilds the exports at boot.

    :param conf: configuration file of cinder-volume.
    """
    return (PROGRAM, 'restore', '--config-file', conf)


def downgrade(conf: str, version: int) -> tuple[str, ...]:
    """Return the command that brings journals back to an earlier version.

    It runs the clone's own code, whichever the node was booted with.

    :param conf: configuration file of cinder-volume.
    """
    return ('env', '-u', 'PYTHONPATH', PROGRAM, 'journal', 'downgrade',
            '--to', str(version), '--config-file', conf)


# -- processes

#: Patterns for pgrep(1) and pkill(1), one for each privileged daemon. The
#: brackets keep pkill from matching the command that calls it.
TARGET_DAEMON = '[p]rivsep_context mydriver.privileged.target_context'
INITIATOR_DAEMON = '[p]rivsep_context mydriver.privileged.initiator_context'

# -- log lines

#: An operation is done: its verb and its duration in milliseconds.
DONE = re.compile(r'INFO mydriver\S* .*?\] (\w+)[^\n]*? in ([0-9.]+) ms')

#: A volume or snapshot was unmanaged: the snapshot's volume, and the name that
#: it keeps in the store.
UNMANAGED = re.compile(
    r'(?:of volume (\S+) )?is no longer managed; it stays in .+ as (\S+)')

#: Beginnings of the reasons why an attachment was refused.
REFUSALS = ('No portal ', 'The connector ')


def shares_image(volume_id: str, store: str) -> str:
    """Return how the line begins that says that no image was copied.

    :param store: where the volume is.
    """
    verb = 'is a clone of' if store == 'rbd' else 'shares the extents of'
    return f'Volume {volume_id} {verb} image '


def is_logger(name: str) -> bool:
    """Tell whether a logger is one of the driver's."""
    return name.split('.')[0] == PACKAGE

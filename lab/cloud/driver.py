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
STORES = ('reflink', 'lvmthin')

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

#: ``target_prefix`` in cinder.conf.
TARGET_PREFIX = 'iqn.2010-10.org.openstack:'


def store_path(backend: str, store: str) -> str:
    """Return ``mydriver_store_path`` of a backend."""
    return (FOLDERS if store == 'reflink' else GROUPS)[backend]


def section(backend: str, store: str, portals: Sequence[str]) -> ini.Section:
    """Return the section of a backend in cinder.conf.

    :param backend: out of :data:`BACKENDS`.
    :param store: out of :data:`STORES`.
    :param portals: addresses of the target.
    """
    options: ini.Section = {
        'volume_driver': VOLUME_DRIVER,
        'volume_backend_name': backend,
        'mydriver_store': store,
        'mydriver_store_path': store_path(backend, store),
        'mydriver_state_path': STATE,
        'target_prefix': TARGET_PREFIX,
        'target_ip_address': portals[0],
        'target_port': 3260,
        'use_chap_auth': True,
    }
    if len(portals) > 1:
        options['target_secondary_ip_addresses'] = ','.join(portals[1:])
    return options


def restore(conf: str) -> tuple[str, ...]:
    """Return the command that rebuilds the exports at boot.

    :param conf: configuration file of cinder-volume.
    """
    return (PROGRAM, 'restore', '--config-file', conf)


# -- processes

#: Patterns for pgrep(1) and pkill(1), one for each privileged daemon. The
#: brackets keep pkill from matching the command that calls it.
TARGET_DAEMON = '[p]rivsep_context mydriver.privileged.target_context'
INITIATOR_DAEMON = '[p]rivsep_context mydriver.privileged.initiator_context'

# -- log lines

#: An operation is done: its verb and its duration in milliseconds.
DONE = re.compile(r'INFO mydriver\S* .*?\] (\w+)[^\n]*? in ([0-9.]+) ms')

#: A volume or snapshot was unmanaged: the name that it keeps in the store.
UNMANAGED = re.compile(r'is not managed any more; it stays in \S+ as (\S+)')

#: Beginnings of the reasons why an attachment was refused.
REFUSALS = ('No portal ', 'The connector ')


def shares_image(volume_id: str) -> str:
    """Return how the line begins that says that no image was copied."""
    return f'Volume {volume_id} shares the extents of image '


def is_logger(name: str) -> bool:
    """Tell whether a logger is one of the driver's."""
    return name.split('.')[0] == PACKAGE

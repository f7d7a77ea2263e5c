# SPDX-License-Identifier: Apache-2.0
"""What a full store looks like, and how to recover (operations.rst)."""

from collections.abc import Callable
import dataclasses

from lab.cloud import driver
from lab.scenario import observe

#: A second disk for the volume group.
_MORE_DISK = ('truncate -s 2560M "$1" && modprobe loop && '
              'losetup --find --show "$1"')


@dataclasses.dataclass(frozen=True)
class Place:
    """What differs between the stores.

    :param state: the backend's when the store is full.
    :param look: command that shows how full it is.
    :param extend: extends it; None if a volume has to be deleted instead.
    """

    state: str
    look: tuple[str, ...]
    extend: Callable[[observe.Observer], str] | None


def _extend_pool(observer: observe.Observer) -> str:
    """Add a disk to the group and extend the pool while it is in use."""
    disk = observer.run('storage', 'bash', '-c', _MORE_DISK, 'bash',
                        f'{driver.DISK}/more.img').split()[-1]
    group = driver.GROUPS[driver.BACKEND]
    observer.run('storage', 'vgextend', group, disk)
    observer.run('storage', 'lvextend', '-L', '+2G', driver.POOL)
    return f'vgextend {group} {disk}; lvextend -L +2G {driver.POOL}'


PLACES = {
    'reflink': Place(
        'up',
        ('df', '--output=target,size,used,avail,pcent',
         driver.FOLDERS[driver.BACKEND]),
        None),
    'lvmthin': Place(
        'down',
        ('env', 'LVM_SUPPRESS_FD_WARNINGS=1', 'lvs', '--noheadings',
         '-o', ('lv_name,lv_size,data_percent,metadata_percent,'
                'lv_health_status'), driver.POOL), _extend_pool),
}

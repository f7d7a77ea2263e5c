# SPDX-License-Identifier: Apache-2.0
"""The images that this host's kernel has mapped, from sysfs.

Source: drivers/block/rbd.c, rbd_attrs. Everything that is read here may be
read by any user.

What is mapped never changes while a device exists, and sysfs gives each device
an inode number of its own that is not used again (fs/kernfs/dir.c,
__kernfs_new_node). So the facts about a device are read once: looking for an
image among hundreds takes one look at the directory.
"""

from collections.abc import Iterator
import dataclasses
import os
from pathlib import Path
import re
import stat

#: The bus exists once the module is loaded.
BUS = Path('/sys/bus/rbd')
_LINKS = '/dev/rbd'
_ANCHOR = 'mydriver.anchor.'
_NODE = re.compile(r'/dev/rbd(0|[1-9][0-9]{0,8})')


@dataclasses.dataclass(frozen=True, slots=True)
class Image:
    """An image, by what stays the same from one mapping to the next.

    :param fsid: id of its cluster.
    :param pool: name of its pool.
    :param name: of the image.
    """

    fsid: str
    pool: str
    name: str

    @property
    def link(self) -> str:
        """The path of its device, which is the same after a reboot.

        It is a link that udev makes (ceph-common, 50-rbd.rules); the number
        of the device that it leads to changes.
        """
        return f'{_LINKS}/{self.pool}/{self.name}'


@dataclasses.dataclass(frozen=True, slots=True)
class Mapping:
    """An image that the kernel has mapped.

    :param number: the ``N`` of ``/dev/rbdN``.
    :param image: what is mapped.
    :param image_id: id of the image, which a namesake does not have.
    :param client: address of the kernel's client, as watchers show it.
    :param device_id: tells this device from all others with its number,
        before it and after it.
    """

    number: int
    image: Image
    image_id: str
    client: str
    device_id: int

    @property
    def device(self) -> str:
        """Path of the kernel's own device node."""
        return f'/dev/rbd{self.number}'

    @property
    def block(self) -> Path:
        """The device's directory in sysfs."""
        return Path(f'/sys/block/rbd{self.number}')

    def is_at(self, path: str) -> bool:
        """Tell whether a path leads to the device."""
        try:
            found = os.stat(path)
            number = (self.block / 'dev').read_text().strip()
        except OSError:
            return False
        return stat.S_ISBLK(found.st_mode) and number == (
            f'{os.major(found.st_rdev)}:{os.minor(found.st_rdev)}')

    def is_read_only(self) -> bool:
        """Tell whether the device refuses writes.

        :raises OSError: when it has gone.
        """
        return (self.block / 'ro').read_text().strip() == '1'


def anchor(target: int) -> str:
    """Return the name of the image that keeps the client of a target.

    :param target: number of the target in its pool of targets.
    """
    return f'{_ANCHOR}{target}'


def of_gateways() -> frozenset[str]:
    """Return the clients with which gateways have mapped images here."""
    return frozenset(m.client for m in mappings()
                     if m.image.name.startswith(_ANCHOR))


def mappings(name: str | None = None) -> Iterator[Mapping]:
    """Yield the images that are mapped, but no snapshots and namespaces.

    :param name: only images of that name, None for all.
    """
    global _known
    try:
        with os.scandir(BUS / 'devices') as entries:
            devices = sorted((int(e.name), e.inode()) for e in entries)
    except FileNotFoundError:  # the module is not loaded
        return
    known = {its_id: facts for number, its_id in devices
             if (facts := _facts(number, its_id))}
    _known = known  # without those that have gone
    for number, its_id in devices:
        facts = known.get(its_id)
        if (facts and name in (None, facts.name)
                and (found := _mapping(number, its_id, facts))):
            yield found


def is_node(path: str) -> bool:
    """Tell whether a path is that of the kernel's own device nodes."""
    return _NODE.fullmatch(path) is not None


def of_node(path: str) -> Mapping | None:
    """Return the mapping with a device node, None when there is none.

    :param path: ``/dev/rbdN``.
    """
    match = _NODE.fullmatch(path)
    if match is None:
        return None
    number = int(match[1])
    its_id = _id(number)
    facts = _facts(number, its_id) if its_id else None
    return _mapping(number, its_id, facts) if its_id and facts else None


def find(image: Image) -> Mapping | None:
    """Return the mapping of an image, None when this host has none.

    Of several, the one that udev's link leads to comes first.
    """
    found = [m for m in mappings(image.name) if m.image == image]
    return min(found, default=None,
               key=lambda m: (not m.is_at(image.link), m.number))


@dataclasses.dataclass(frozen=True, slots=True)
class _Facts:
    """What is mapped.

    :param fsid: id of the cluster.
    :param pool: name of the pool.
    :param namespace: of the pool; mostly empty.
    :param name: of the image.
    :param image_id: id of the image.
    :param snapshot: its name, ``-`` when it is none.
    """

    fsid: str
    pool: str
    namespace: str
    name: str
    image_id: str
    snapshot: str


#: The facts about devices, by their ids.
_known: dict[int, _Facts] = {}


def _facts(number: int, its_id: int) -> _Facts | None:
    """Return the facts about a device, None when it has gone."""
    found = _known.get(its_id)
    if found is None:
        try:
            found = _Facts(*(_text(number, a) for a in (
                'cluster_fsid', 'pool', 'pool_ns', 'name', 'image_id',
                'current_snap')))
        except OSError:
            return None
        if _id(number) != its_id:
            return None  # another one has got its number
        _known[its_id] = found
    return found


def _mapping(number: int, its_id: int, facts: _Facts) -> Mapping | None:
    """Return the mapping that a device is, None when it has gone."""
    if facts.namespace or facts.snapshot != '-':
        return None
    try:
        client = _text(number, 'client_addr')
    except OSError:
        return None
    if _id(number) != its_id:
        return None
    return Mapping(number, Image(facts.fsid, facts.pool, facts.name),
                   facts.image_id, client, its_id)


def _id(number: int) -> int | None:
    """Return the id of the device that has a number now."""
    try:
        return os.lstat(f'{BUS}/devices/{number}').st_ino
    except OSError:
        return None


def _text(number: int, attribute: str) -> str:
    """Read an attribute, with as few system calls as that takes."""
    fd = os.open(f'{BUS}/devices/{number}/{attribute}',
                 os.O_RDONLY | os.O_CLOEXEC)
    try:
        return os.read(fd, 4096).decode(errors='surrogateescape').strip()
    finally:
        os.close(fd)

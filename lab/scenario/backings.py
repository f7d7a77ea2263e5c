# SPDX-License-Identifier: Apache-2.0
"""Where volumes keep their data: what is there, read without the driver."""

from collections.abc import Callable, Mapping
import hashlib
import re
from typing import Protocol

from lab.ceph import admin
from lab.cloud import api, driver

_MIB = 1 << 20

#: Writes the first sector of a volume.
_WRITE = ('printf "%s\\n" "$2" | '
          'dd of="$1" bs=512 conv=notrunc,sync,fsync status=none')
_CHECKSUM = ('dd if="$1" iflag=direct bs=1M skip="$2" count="$3" status=none '
             '| sha256sum')
_TEXT = ('dd if="$1" iflag=direct bs=4096 skip="$2" count="$3" status=none '
         '| tr -s " "')

#: Runs a command that must succeed on node ``storage``; returns its output.
Run = Callable[..., str]


class Backings(Protocol):
    """The backings of the driver's volumes.

    A path ends in the name that the driver has given to the volume or
    snapshot.
    """

    def more(self) -> Mapping[str, dict[str, int]]:
        """Return those that the storage node's kernel does not show.

        :returns: path -> ``size_bytes`` and ``used_bytes``.
        """

    def checksum(self, path: str, offset_mib: int, size_mib: int) -> str:
        """Return the SHA-256 of a part."""

    def text(self, path: str, first: int, count: int) -> str:
        """Return the text of blocks of 4 KiB, with runs of blanks as one."""

    def write_line(self, path: str, line: str) -> None:
        """Write a line to the first sector, and fill it with zeros."""

    def users(self, path: str) -> set[str]:
        """Return the addresses of the hosts that have an image open."""


class OnNode:
    """Files and devices of node ``storage``.

    :param run: runs a command there.
    """

    def __init__(self, run: Run) -> None:
        self._run = run

    def more(self) -> Mapping[str, dict[str, int]]:
        """Return none: the probe sees them all."""
        return {}

    def checksum(self, path: str, offset_mib: int, size_mib: int) -> str:
        """Return the SHA-256 of a part."""
        return self._run('bash', '-c', _CHECKSUM, 'bash', path,
                         str(offset_mib), str(size_mib)).split()[0]

    def text(self, path: str, first: int, count: int) -> str:
        """Return the text of blocks of 4 KiB, with runs of blanks as one."""
        return self._run('bash', '-c', _TEXT, 'bash', path, str(first),
                         str(count))

    def write_line(self, path: str, line: str) -> None:
        """Write a line to the first sector, and fill it with zeros."""
        self._run('bash', '-c', _WRITE, 'bash', path, line)

    def users(self, path: str) -> set[str]:
        """Return none: these are the storage node's alone."""
        del path
        return set()


class InCeph:
    """RBD images, as ``client.admin`` sees them from this machine.

    A path is ``rbd:POOL/IMAGE``, and ``rbd:POOL/IMAGE/SNAPSHOT`` for a
    snapshot. Images in the trash are ``rbd:POOL/trash/NAME``.

    :param connect: connects to Ceph.
    """

    def __init__(self, connect: Callable[[], admin.Admin]) -> None:
        self._connect = connect

    def more(self) -> Mapping[str, dict[str, int]]:
        """Return all images and snapshots in the backends' pools."""
        found = {}
        with self._connect() as ceph:
            for pool in driver.CEPH_BACKEND_POOLS.values():
                for image in ceph.list_images(pool):
                    with ceph.image(pool, image) as opened:
                        found[f'rbd:{pool}/{image}'] = _size(opened.size())
                        found |= {
                            f'rbd:{pool}/{image}/{snap["name"]}':
                            _size(snap['size'])
                            for snap in opened.list_snaps()}
                found |= {f'rbd:{pool}/trash/{name}': _size(0)
                          for name in ceph.list_trash(pool)}
        return found

    def checksum(self, path: str, offset_mib: int, size_mib: int) -> str:
        """Return the SHA-256 of a part."""
        found = hashlib.sha256()
        with self._connect() as ceph, ceph.image(*_split(path)) as image:
            for mib in range(offset_mib, offset_mib + size_mib):
                found.update(image.read(mib * _MIB, _MIB))
        return found.hexdigest()

    def text(self, path: str, first: int, count: int) -> str:
        """Return the text of blocks of 4 KiB, with runs of blanks as one."""
        with self._connect() as ceph, ceph.image(*_split(path)) as image:
            data: bytes = image.read(first * 4096, count * 4096)
        return re.sub(' +', ' ', data.decode(errors='replace'))

    def write_line(self, path: str, line: str) -> None:
        """Write a line to the first sector, and fill it with zeros."""
        with (self._connect() as ceph,
              ceph.image(*_split(path), write=True) as image):
            image.write(f'{line}\n'.encode().ljust(512, b'\0'), 0)

    def users(self, path: str) -> set[str]:
        """Return the addresses of the hosts that have an image open."""
        with self._connect() as ceph, ceph.image(*_split(path)) as image:
            mine = ceph.cluster.get_instance_id()
            return {w['addr'].split(':')[0] for w in image.watchers_list()
                    if w['id'] != mine}


def _size(size_bytes: int) -> dict[str, int]:
    return {'size_bytes': size_bytes}


def _split(path: str) -> tuple[str, str]:
    """Return the pool and the image of a path."""
    pool, _, image = path.removeprefix('rbd:').partition('/')
    return pool, image


def of(cloud: api.Cloud, run: Run) -> Backings:
    """Return the backings of a cloud.

    :param cloud: the cloud that is up.
    :param run: runs a command on node ``storage``.
    """
    if cloud.options.store == driver.RBD:
        return InCeph(cloud.ceph)
    return OnNode(run)

# SPDX-License-Identifier: Apache-2.0
"""Many threads that open images of Ceph and close them at once.

Run in a process of its own, which ends with a corrupted heap if an image is
freed while a thread of librados still uses it
(:data:`mydriver.ceph.cluster.COMPLETION_THREADS`). With two such threads, that
took about ten seconds.
"""

import concurrent.futures
import sys
import uuid

from mydriver.ceph import cluster
from mydriver.stores.rbd import images
from tests.functional.ceph import store as ceph_store

CLONES = 32
_THREADS = 8
_LOOKS = 5
_MIB = 1 << 20


def main() -> None:
    """Clone an image, and look at each clone, in several threads."""
    connection = cluster.Cluster(ceph_store.SETTINGS)
    io = connection.pool()
    source = f'source-{uuid.uuid4()}'
    images.create(io, source, _MIB)
    source_id = images.id_of(io, source)

    def work(_number: int) -> None:
        name, snap = f'clone-{uuid.uuid4()}', f'snap-{uuid.uuid4()}'
        images.clone(io, source, source_id, snap, name)
        image_id = images.id_of(io, name)
        for _ in range(_LOOKS):
            images.watchers(io, image_id)
            images.parent_of(io, image_id)
            images.is_untouched(io, image_id, _MIB)
        images.resize(io, image_id, 2 * _MIB)
        images.discard(io, name)
        images.drop_snapshot(io, source_id, snap)

    with concurrent.futures.ThreadPoolExecutor(_THREADS) as pool:
        done = list(pool.map(work, range(CLONES)))
    images.discard(io, source)
    print(len(done), 'clones')
    sys.stdout.flush()


if __name__ == '__main__':
    main()

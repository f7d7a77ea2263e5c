# SPDX-License-Identifier: Apache-2.0
"""A client of Ceph that holds the lock of an image until it is killed."""

import signal
import sys

import rbd

from mydriver.ceph import cluster
from tests.functional.ceph import store as ceph_store


def main(name: str) -> None:
    """Lock an image, say so, and wait."""
    connection = cluster.Cluster(ceph_store.SETTINGS)
    image = rbd.Image(connection.pool(), name)
    image.lock_acquire(rbd.RBD_LOCK_MODE_EXCLUSIVE)
    sys.stdout.write('locked\n')
    sys.stdout.flush()
    signal.pause()


if __name__ == '__main__':
    main(sys.argv[1])

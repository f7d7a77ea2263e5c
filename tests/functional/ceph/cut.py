# SPDX-License-Identifier: Apache-2.0
"""Cut the node off from Ceph."""

from collections.abc import Iterator
import contextlib

from lab.ceph import admin
from tests.functional import base


@contextlib.contextmanager
def without_ceph(ceph: admin.Admin) -> Iterator[None]:
    """Drop all packets to the cluster's address."""
    addresses = ceph.command('mon dump')['mons'][0]['public_addrs']['addrvec']
    address = addresses[0]['addr'].rpartition(':')[0]
    base.run('ip', 'route', 'add', 'blackhole', address)
    try:
        yield
    finally:
        base.run('ip', 'route', 'del', 'blackhole', address)

# SPDX-License-Identifier: Apache-2.0
"""The store on green threads, as cinder-volume uses it by default.

Run in a process of its own, since eventlet patches all of it. It prints how
many volumes there were and how often another green thread ran meanwhile.
"""

import eventlet

eventlet.monkey_patch()

import sys  # noqa: E402
import unittest  # noqa: E402
import uuid  # noqa: E402

from eventlet import tpool  # noqa: E402

from mydriver.ceph import blocking  # noqa: E402
from mydriver.stores import names  # noqa: E402
from tests.functional.ceph import store as ceph_store  # noqa: E402

COPIES = 12


def main() -> None:
    """Clone, map and delete volumes from several green threads."""
    blocking.use(tpool.execute)
    ceph_store.use(unittest.TestCase())
    store = ceph_store.make()
    store.prepare()
    ticks = 0

    def tick() -> None:
        nonlocal ticks
        while True:
            eventlet.sleep(0.01)
            ticks += 1

    ticking = eventlet.spawn(tick)
    source = names.volume_name(str(uuid.uuid4()))
    store.create(source, 1 << 20)
    copies = [names.volume_name(str(uuid.uuid4())) for _ in range(COPIES)]

    def work(name: str) -> None:
        store.clone(source, name, 1 << 20)
        store.bring_up(name)
        store.let_down(name)
        store.delete(name)

    pool = eventlet.GreenPool(COPIES)
    list(pool.imap(work, copies))
    left = store.names()
    store.delete(source)
    ticking.kill()
    print(len(left), ticks)
    sys.stdout.flush()


if __name__ == '__main__':
    main()

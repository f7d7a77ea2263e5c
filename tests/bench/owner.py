# SPDX-License-Identifier: Apache-2.0
"""A gateway in a process of its own, which can be killed.

Usage: ``python -m tests.bench.owner CONFIGURATION NAME TARGETS``.
"""

import sys
import threading

from oslo_concurrency import lockutils
from oslo_config import cfg

from mydriver import privileged
from mydriver.ceph import cluster
from tests.functional.ceph import gateways
from tests.functional.ceph import store as ceph_store


def main(conf: str, name: str, targets: str) -> None:
    """Run a gateway until the process is killed."""
    cfg.CONF(['--config-file', conf], project='mydriver')
    privileged.target_context.set_client_mode(False)
    lockutils.set_defaults('/run/lock')
    connection = cluster.Cluster(ceph_store.SETTINGS)
    gateways.build(gateways.settings(connection, int(targets)), connection,
                   name).run(threading.Event())


if __name__ == '__main__':
    main(*sys.argv[1:])

# SPDX-License-Identifier: Apache-2.0
"""The cloud's Ceph, for backends on the store ``rbd``."""

from collections.abc import Sequence
import hashlib
from pathlib import Path
import subprocess

from lab import process
from lab.ceph import admin, cluster
from lab.cloud import settings
from lab.cloud.control import seed_cache
from lab.cloud.site import Site
from lab.cloud.steps.registry import Registry

#: Time to end, seconds.
_GRACE_S = 30


def of(site: Site) -> cluster.Cluster:
    """Return the cloud's Ceph, up or not."""
    return cluster.Cluster(
        site.layout.ceph, settings.CEPH, settings.CEPH_POOLS,
        site.options.storage_gib << 30)


def connect(site: Site) -> admin.Admin:
    """Connect to it as ``client.admin``, from within the namespace.

    :raises LabError: when it does not answer.
    """
    return admin.Admin(of(site).conf)


def start(site: Site, registry: Registry) -> None:
    """Start a new one from the kept copy; make the copy first if necessary.

    :param registry: records the processes.
    :raises LabError: when it does not come up.
    """
    def spawn(name: str, argv: Sequence[str | Path]) -> process.Process:
        return registry.spawn(name, argv, site.environment())

    ceph = of(site)
    kept = seed_cache.SeedCache(
        site.layout, key(site), site.layout.ceph_seeds, ('ceph',))
    if kept.there():
        kept.restore()
    else:
        ceph.prepare()
        ceph.up(spawn)
        for name in reversed(cluster.DAEMONS):
            registry.stop(name, _GRACE_S)
        kept.keep()
    ceph.up(spawn)


def key(site: Site) -> str:
    """Return the key of a copy, 16 hex digits.

    Its configuration has paths, so a copy is for this clone only.
    """
    digest = hashlib.sha256()
    for path in sorted(Path(cluster.__file__).parent.glob('*.py')):
        digest.update(path.read_bytes())
    version = subprocess.run([cluster.MON, '--version'], check=False,
                             capture_output=True, text=True).stdout
    digest.update(repr((str(site.layout.ceph), settings.CEPH,
                        settings.CEPH_POOLS, site.options.storage_gib,
                        version)).encode())
    return digest.hexdigest()[:16]

# SPDX-License-Identifier: Apache-2.0
"""Assemble both ends of a backend with gateways."""

from collections.abc import Callable, Collection
import socket
import uuid

from oslo_log import log as logging

from mydriver import model
from mydriver.ceph import cluster, fence, notify, omap
from mydriver.target import (
    chap,
    devices,
    exports,
    floating,
    key_objects,
    kinds,
    lio,
    pool,
)
from mydriver.target.gateways import (
    agent,
    applier,
    connections,
    gateway,
    hands,
    images,
    lease,
    ownership,
    remote,
    witnesses,
)
from mydriver.target.journal.rados import journal, keys, targets

LOG = logging.getLogger(__name__)

#: The kernel may remove an address up to a second after its lifetime
#: (:mod:`..floating`).
_MARGIN_S = 1.5

#: A request for the lease that takes longer is of no use.
_LEASE_TIMEOUT_S = 2.0


def settings_of(settings: pool.Settings, connection: cluster.Cluster
                ) -> pool.Settings:
    """Return settings with the identity of the Ceph cluster.

    :raises CephError: when Ceph does not answer.
    """
    handle = connection.handle()
    with cluster.errors_translated('tell the number of a pool'):
        pool_id = handle.pool_lookup(connection.settings.pool)
    return pool.of_cluster(settings, connection.fsid(), pool_id)


def timing(settings: pool.Settings) -> lease.Timing:
    """Return the times of the leases of a backend."""
    assert settings.gateways is not None  # noqa: S101 - the caller's branch
    duration_s = float(settings.gateways.lease_s)
    return lease.Timing(duration_s, _MARGIN_S,
                        min(1.0, (duration_s - _MARGIN_S) / 3))


def build_service(settings: pool.Settings, connection: cluster.Cluster,
                  its_devices: devices.Devices,
                  local_devices: devices.Devices, *,
                  watch: bool = True) -> exports.ExportService:
    """Assemble the export service of a backend whose gateways do the work.

    :param settings: with the identity of the cluster.
    :param connection: to the cluster.
    :param its_devices: describe what gateways export; change nothing.
    :param local_devices: for this host's own use of volumes.
    :param watch: wait with watches; not where threads are green.
    :raises CephError: when Ceph does not answer.
    :raises JournalError: when the journal cannot be used.
    """
    objects = journal.objects_of(connection, settings.backend)
    its_journal = journal.open_in(
        objects, settings.backend, targets.Run(
            settings.service or socket.gethostname(), uuid.uuid4().hex),
        notify.RadosNotices(objects, watch=watch), create=True)
    known = set(its_journal.targets())
    for target in pool.pool(settings):
        if target not in known:
            # Before the journal has the target: where the record is missing
            # later, it was lost.
            ownership.RadosOwnership(connection, str(target),
                                     keys.namespace(settings.backend)).create()
    its_journal.add_targets(pool.pool(settings))
    return exports.ExportService(
        settings, its_journal,
        remote.RemoteTarget(its_journal, settings.portals_of),
        _keys(settings, key_objects.KeyObjects(objects)),
        lio.of_backend(settings).name_prefix, its_devices,
        local_devices=local_devices)


def build_gateway(settings: pool.Settings, connection: cluster.Cluster,
                  name: str, images_of: Callable[[model.Iqn], images.Images]
                  ) -> gateway.Gateway:
    """Assemble a gateway of a backend.

    :param settings: with the identity of the cluster.
    :param connection: to the cluster.
    :param name: of the gateway, that of the host.
    :param images_of: returns the images of a target on this host.
    :raises CephError: when Ceph does not answer.
    :raises JournalError: when cinder-volume has not made the journal yet.
    """
    run = uuid.uuid4().hex
    quick = cluster.Cluster(connection.settings, _LEASE_TIMEOUT_S)
    objects = journal.objects_of(connection, settings.backend)
    its_journal = journal.open_in(
        objects, settings.backend, targets.Run(name, run),
        notify.RadosNotices(objects), create=False)
    kernel = lio.of_backend(settings)
    known = kinds.Kinds(settings, its_journal, kernel, _keys(
        settings, key_objects.KeyObjects(objects)))
    its_fence = fence.Fence(connection)
    times = timing(settings)
    network = floating.KernelAddresses()
    served = settings.gateways
    assert served is not None  # noqa: S101 - the caller's branch
    its_connections = connections.Connections(
        portal for some in served.portals for portal in some)

    def agent_of(target: model.Iqn) -> agent.Agent:
        owned = ownership.RadosOwnership(quick, str(target),
                                         keys.namespace(settings.backend))
        its_images = images_of(target)
        return agent.Agent(
            target, name, run, hands.Hands(
                owned, its_fence, its_images, applier.Applier(
                    target, its_journal, kernel, its_images, known.secrets,
                    kernel.name_prefix),
                [p.address for p in settings.portals_of(target)], network,
                times, its_connections), owned, times, its_journal)

    def later(known: Collection[model.Iqn]) -> list[agent.Agent]:
        # One that has no addresses here is for gateways that know them.
        return [agent_of(t) for t in its_journal.targets()
                if t not in known and settings.portals_of(t)]

    return gateway.Gateway(
        name, run, gateway.Registry(objects),
        [agent_of(t) for t in its_journal.targets()], later,
        lambda: its_fence.read().entries.keys(), its_connections,
        witnesses.Witnesses(served.witnesses))


def _keys(settings: pool.Settings, storage: chap.Storage
          ) -> chap.KeyRing | None:
    """Return the keys of a backend, None when there never were any."""
    if settings.chap or storage.current() is not None:
        return chap.KeyRing.load_from(storage)
    return None


def objects_of(settings: pool.Settings, connection: cluster.Cluster
               ) -> omap.Objects:
    """Return the objects of a backend in Ceph."""
    return journal.objects_of(connection, settings.backend)


def registry_of(settings: pool.Settings, connection: cluster.Cluster
                ) -> gateway.Registry:
    """Return what the gateways of a backend say about themselves."""
    return gateway.Registry(journal.objects_of(connection, settings.backend))


def journal_of(settings: pool.Settings, connection: cluster.Cluster
               ) -> journal.RadosJournal:
    """Return the journal of a backend, to look at.

    :raises JournalError: when it cannot be used, as when there is none yet.
    """
    objects = journal.objects_of(connection, settings.backend)
    return journal.open_in(
        objects, settings.backend, targets.Run(socket.gethostname(), ''),
        notify.RadosNotices(objects), create=False)

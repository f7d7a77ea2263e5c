# SPDX-License-Identifier: Apache-2.0
"""A service is ready when it answers and has reported itself up."""

from collections.abc import Callable
import datetime
from typing import Any

from lab.cloud import settings
from lab.cloud.control import ceph as cloud_ceph
from lab.cloud.control import rest
from lab.cloud.site import Site
from lab.cloud.steps import wait


def apis(client: rest.Client) -> dict[str, Callable[[], Any]]:
    """Return a probe for each API; it is true if a real request succeeds."""
    def asks(service: str, path: str) -> Callable[[], Any]:
        return lambda: client.get(service, path) is not None

    return {
        'keystone': asks('keystone', '/v3/users'),
        'glance': asks('glance', '/v2/images?limit=1'),
        'placement': asks('placement', '/resource_providers'),
        # Networks first: neutron answers 500 if its very first request is for
        # ports (the backref Port.port_forwardings exists only after
        # SQLAlchemy has configured its mappers).
        'neutron': lambda: (asks('neutron', '/v2.0/networks')()
                            and asks('neutron', '/v2.0/ports')()),
        'nova-api': asks('nova', '/v2.1/flavors'),
        'cinder-api': asks('cinder', '/v3/types'),
    }


def ceph(site: Site) -> bool:
    """Tell whether Ceph's OSD is up and the first pool can be read.

    :raises LabError: when it does not answer.
    """
    with cloud_ceph.connect(site) as admin:
        admin.list_images(settings.CEPH_POOLS[0])
        return bool(admin.command('osd stat')['num_up_osds'])


def fresh(row: dict[str, Any], since: float) -> bool:
    """Tell whether a service's report is from its current run.

    A row in a copied or kept database looks "up" for a minute even if no
    service wrote it.

    :param row: of ``os-services``; ``updated_at`` is UTC.
    :param since: seconds since the epoch.
    """
    at = row.get('updated_at')
    if not at:
        return False
    parsed = datetime.datetime.fromisoformat(str(at)[:19])
    return parsed.replace(tzinfo=datetime.UTC).timestamp() >= since - 1


def _up(rows: list[dict[str, Any]], binary: str, since: float) -> None:
    """Check that a service has reported itself up.

    :raises NotReady: with the content of its rows.
    """
    mine = [r for r in rows if r['binary'] == binary]
    if not any(r['state'] == 'up' and fresh(r, since) for r in mine):
        raise wait.NotReady(f'{binary}: ' + (', '.join(
            f'{r["state"]}, updated {r["updated_at"]}' for r in mine)
            or 'no report'))


def nova_service(client: rest.Client, binary: str, since: float) -> bool:
    """Tell whether a nova service is up, as nova-api sees it."""
    _up(client.get('nova', '/v2.1/os-services')['services'], binary, since)
    return True


def cinder_service(client: rest.Client, binary: str, since: float) -> bool:
    """Tell whether a cinder service is up, as cinder-api sees it."""
    _up(client.get('cinder', '/v3/os-services')['services'], binary, since)
    return True


def compute(client: rest.Client, since: float) -> bool:
    """Tell whether servers can be scheduled to node ``compute``.

    nova-compute is up, its host is mapped to the cell (otherwise the list of
    hypervisors lacks it), and placement has its inventory.
    """
    nova_service(client, 'nova-compute', since)
    shown = client.get('nova', '/v2.1/os-hypervisors')['hypervisors']
    if not any(h['state'] == 'up' for h in shown):
        raise wait.NotReady('the host is not yet mapped to the cell')
    for provider in client.get('placement', '/resource_providers')[
            'resource_providers']:
        inventory = client.get(
            'placement',
            f'/resource_providers/{provider["uuid"]}/inventories')
        if 'VCPU' in inventory['inventories']:
            return True
    raise wait.NotReady('placement does not yet have its inventory')


def volume(client: rest.Client, options: settings.Options, since: float,
           node: str = 'storage') -> bool:
    """Tell whether volumes can be scheduled to every backend of a node."""
    rows = client.get('cinder', '/v3/os-services')['services']
    pools = {p['name'] for p in client.get(
        'cinder', '/v3/scheduler-stats/get_pools')['pools']}
    for backend in options.backends:
        host = f'{node}@{backend}'
        _up([r for r in rows if r['host'] == host], 'cinder-volume', since)
        where = (host if options.volumes == 1
                 else f'{settings.CLUSTER}@{backend}')
        if not any(p.startswith(where) for p in pools):
            raise wait.NotReady(f'the scheduler has no pool of {where} yet')
    return True


_SERVES = 'Driver post RPC initialization completed successfully'


def drivers_serve(log: str, count: int) -> bool:
    """Tell whether all drivers of cinder-volume are initialized.

    A report is not enough: cinder-volume reports before the driver is
    initialized, and the scheduler remembers a pool from before a reboot.

    :param log: cinder-volume's, since its last start.
    :param count: number of backends; each is a process.
    :raises NotReady: when some are not initialized.
    """
    served = log.count(_SERVES)
    if served < count:
        raise wait.NotReady(f'{served} of {count} drivers are initialized')
    return True


#: Takes the client, the cloud's options, and the time from which a report
#: counts, seconds since the epoch.
Report = Callable[[rest.Client, settings.Options, float], bool]

#: The probe for each service's report.
REPORTS: dict[str, Report] = {
    'nova-conductor': lambda c, _, t: nova_service(
        c, 'nova-conductor', t),
    'nova-scheduler': lambda c, _, t: nova_service(
        c, 'nova-scheduler', t),
    'nova-compute': lambda c, _, t: compute(c, t),
    'cinder-scheduler': lambda c, _, t: cinder_service(
        c, 'cinder-scheduler', t),
    'cinder-backup': lambda c, _, t: cinder_service(
        c, 'cinder-backup', t),
    'cinder-volume': volume,
}

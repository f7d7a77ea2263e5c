# SPDX-License-Identifier: Apache-2.0
"""Seed the databases: service user, catalogue, images, flavors, types."""

import functools
from pathlib import Path

from lab import process
from lab.cloud import driver, errors, settings
from lab.cloud.config import glance
from lab.cloud.control import rest
from lab.guest import sector

_CATALOGUE = (
    ('glance', 'image', 'glance', ''),
    ('placement', 'placement', 'placement', ''),
    ('nova', 'compute', 'nova', '/v2.1'),
    ('cinder', 'block-storage', 'cinder', '/v3'),
    ('cinderv3', 'volumev3', 'cinder', '/v3/$(project_id)s'),
    ('neutron', 'network', 'neutron', ''),
)

#: Extra specs of each volume type.
VOLUME_TYPES = {
    **{name: {'volume_backend_name': name} for name in settings.BACKENDS},
    'multiattach': {'volume_backend_name': driver.BACKEND,
                    'multiattach': '<is> True'},
}


def catalogue(client: rest.Client, service_password: str) -> None:
    """Create the services' project, user and catalogue in keystone."""
    roles = {r['name']: r['id']
             for r in client.get('keystone', '/v3/roles')['roles']}
    project = client.send('POST', 'keystone', '/v3/projects', json={
        'project': {'name': 'service', 'domain_id': 'default'}})['project']
    user = client.send('POST', 'keystone', '/v3/users', json={'user': {
        'name': 'service', 'domain_id': 'default',
        'password': service_password,
        'default_project_id': project['id']}})['user']
    for role in ('admin', 'service'):
        client.send('PUT', 'keystone', f'/v3/projects/{project["id"]}/users/'
                    f'{user["id"]}/roles/{roles[role]}')
    for name, kind, port, path in _CATALOGUE:
        service = client.send('POST', 'keystone', '/v3/services', json={
            'service': {'name': name, 'type': kind}})['service']
        for interface in ('public', 'internal'):
            client.send('POST', 'keystone', '/v3/endpoints', json={
                'endpoint': {'service_id': service['id'],
                             'interface': interface,
                             'region': settings.REGION,
                             'url': settings.url(port) + path}})


def flavors(client: rest.Client) -> None:
    """Create the flavors in nova.

    Their disk is not 0: only admins may boot such a flavor from an image.
    """
    client.send('POST', 'nova', '/v2.1/flavors', json={'flavor': {
        'id': settings.FLAVOR_ID, 'name': settings.FLAVOR, 'ram': 128,
        'vcpus': 1, 'disk': 1}})
    client.send('POST', 'nova', '/v2.1/flavors', json={'flavor': {
        'id': settings.FLAVOR_ALT_ID, 'name': settings.FLAVOR_ALT,
        'ram': 192, 'vcpus': 1, 'disk': 1}})


def volume_types(client: rest.Client) -> None:
    """Create a volume type for each backend, and one for multiattach."""
    for name, specs in VOLUME_TYPES.items():
        client.send('POST', 'cinder', '/v3/types', json={'volume_type': {
            'name': name, 'extra_specs': specs}})


def images(client: rest.Client, guest: Path) -> None:
    """Upload the guest's image, and that of one sector twice.

    None of them reacts to the power button: without ``os_shutdown_timeout``
    nova would wait a minute for each stop.

    :param guest: the guest's image.
    :raises CloudError: when glance has not stored all of it.
    """
    _upload(client, settings.IMAGE_ID, settings.IMAGE, guest.read_bytes())
    for number, image_id in enumerate(settings.SECTOR_IDS):
        _upload(client, image_id, f'sector-{number}', sector.disk())


def _upload(client: rest.Client, image_id: str, name: str,
            data: bytes) -> None:
    client.send('POST', 'glance', '/v2/images', json={
        'id': image_id, 'name': name, 'disk_format': 'raw',
        'container_format': 'bare', 'visibility': 'public',
        'os_shutdown_timeout': '1'})
    client.send('PUT', 'glance', f'/v2/images/{image_id}/file', data=data,
                headers={'Content-Type': 'application/octet-stream',
                         'X-Image-Meta-Store': glance.FILE})
    shown = client.get('glance', f'/v2/images/{image_id}')
    if shown['status'] != 'active' or shown['size'] != len(data):
        raise errors.CloudError(f'the image was not stored: {shown}')


def move_images(client: rest.Client) -> None:
    """Move the images from glance's files to Ceph, by glance itself.

    :raises CloudError: when glance refuses.
    :raises DeadlinePassed: when an image is not there in time.
    """
    for image_id in (settings.IMAGE_ID, *settings.SECTOR_IDS):
        client.send('POST', 'glance', f'/v2/images/{image_id}/import', json={
            'method': {'name': 'copy-image'}, 'stores': [glance.RBD]})
    for image_id in (settings.IMAGE_ID, *settings.SECTOR_IDS):
        process.wait_for(functools.partial(_is_copied, client, image_id),
                         f'image {image_id} to be in Ceph', 120)
        client.send('DELETE', 'glance',
                    f'/v2/stores/{glance.FILE}/{image_id}')
        shown = client.get('glance', f'/v2/images/{image_id}')
        if shown['stores'] != glance.RBD:
            raise errors.CloudError(f'the image was not moved: {shown}')


def _is_copied(client: rest.Client, image_id: str) -> bool:
    """Tell whether glance has copied an image.

    Its task tells: it writes the image's record once more after that has the
    new place, which would undo a change made in between.

    :raises CloudError: when it could not.
    """
    tasks = client.get('glance', f'/v2/images/{image_id}/tasks')['tasks']
    if any(task['status'] == 'failure' for task in tasks):
        raise errors.CloudError(f'the image was not copied: {tasks}')
    return bool(tasks) and all(t['status'] == 'success' for t in tasks)

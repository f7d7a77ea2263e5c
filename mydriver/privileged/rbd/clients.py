# SPDX-License-Identifier: Apache-2.0
"""Privileged verbs for gateways: the images of one target, by one client.

The kernel shares one client of Ceph among all mappings with the same options
(net/ceph/ceph_common.c, ceph_compare_options). Here the images of each target
have a client of their own, since a target that another gateway has taken over
is fenced by its client: so they differ in an option that changes nothing else,
the time after which the connection to an idle OSD is closed.

The client exists as long as anything is mapped with it. A small image without
data, which any number of hosts can map for reading, keeps it: the *anchor*.
So a gateway knows its client, and can write down whom to fence, before it maps
any volume.
"""

import dataclasses
import zlib

from mydriver import exception, privileged, waiting
from mydriver.privileged import cephconf, grants, krbd, values, verbs
from mydriver.privileged.rbd import krbd as images

#: The most targets of a backend (``mydriver_gateway_addresses``).
MOST_TARGETS = 64

#: The shortest of the times, which is the kernel's default, and how many
#: pools are told apart. The longest one, in milliseconds, is a 32-bit number.
_FIRST_S = 60
_POOLS = 30000


@privileged.target_context.entrypoint
@verbs.translating_os_errors('start a client of Ceph', exception.StoreError)
def connect(conf: str, pool: str, target: int) -> str:
    """Start the client of a target, unless there is one.

    :param conf: Ceph's configuration file, as the backend's option has it.
    :param target: number of the target in its pool of targets.
    :returns: address of the client, ``IP:0/NONCE``.
    :raises RequestRefused: when no backend with gateways has that pool for
        itself.
    :raises StoreError: when the kernel cannot map the anchor.
    """
    ceph, anchor = _anchor(conf, pool, target)
    with images.alone():
        found = krbd.find(anchor)
        if found is None:
            images.add(ceph, anchor, True, [_option(pool, target)])
            found = krbd.find(anchor)
    if found is None:
        raise exception.StoreError(f'map {pool}/{anchor.name}',
                                   'the kernel does not show it')
    return found.client


@privileged.target_context.entrypoint
@verbs.translating_os_errors('end a client of Ceph', exception.StoreError)
def disconnect(conf: str, pool: str, target: int) -> None:
    """End the client of a target; it is fine when there is none.

    :raises RequestRefused: when no backend with gateways has that pool.
    :raises StoreError: when images are mapped with it.
    """
    _ceph, anchor = _anchor(conf, pool, target)
    with images.alone():
        while found := krbd.find(anchor):
            others = [m.image.name for m in krbd.mappings()
                      if m.client == found.client
                      and m.number != found.number]
            if others:
                raise exception.StoreError(
                    f'end client {found.client}',
                    f'{", ".join(sorted(others)[:3])} is mapped with it')
            images.unmap(found)


@privileged.target_context.entrypoint
@verbs.translating_os_errors('map an image', exception.StoreError)
def map_image(conf: str, pool: str, target: int, image: str, image_id: str
              ) -> str:
    """Map an image with the client of a target, unless it is mapped.

    udev's link is not waited for: with many images on a host, making all of
    the links takes longer than mapping. A gateway has no use for a path that
    lasts longer than the mapping does.

    :param image: its name.
    :param image_id: the id that it has to have.
    :returns: path of the kernel's own device node.
    :raises RequestRefused: when the pool or the name is not ours.
    :raises StoreError: when there is no client, when the image is mapped with
        another one, or when the kernel cannot map it.
    :raises WaitTimeout: when there is no device node.
    """
    ceph, anchor = _anchor(conf, pool, target)
    wanted = _beside(anchor, image)
    its_id = values.text(image_id, 'an image id', images.ID)
    with images.beside_others(wanted):
        held = krbd.find(anchor)
        if held is None:
            raise exception.StoreError(f'map {pool}/{image}',
                                       f'target {target} has no client')
        found = krbd.find(wanted)
        if found is None:
            images.add(ceph, wanted, False, [_option(pool, target)])
            found = krbd.find(wanted)
        problem = ('' if found is None else
                   f'it is mapped with client {found.client}, not '
                   f'{held.client}' if found.client != held.client else
                   f'the image of that name is not {its_id}'
                   if found.image_id != its_id else '')
        if found is None or problem:
            raise exception.StoreError(
                f'map {pool}/{image}',
                problem or 'the kernel does not show it')
    # devtmpfs has made it by now, or somebody else makes those.
    waiting.wait_for(lambda: found.is_at(found.device), found.device,
                     images.LINK_TIMEOUT_S)
    return found.device


@privileged.target_context.entrypoint
@verbs.translating_os_errors('unmap an image', exception.StoreError)
def unmap_image(conf: str, pool: str, target: int, image: str,
                by_force: bool) -> None:
    """Unmap an image that is mapped with the client of a target.

    It is fine when it is not mapped. A mapping of another client stays: this
    host's own use of a volume has nothing to do with a target.

    :param by_force: although its device is open: for a client that is fenced,
        or whose target is not served here any more.
    :raises RequestRefused: when the pool or the name is not ours, or the
        backend has no gateways.
    :raises StoreError: when the device is in use.
    """
    _ceph, anchor = _anchor(conf, pool, target)
    wanted = _beside(anchor, image)
    forced = values.boolean(by_force, 'by_force')
    with images.alone():
        held = krbd.find(anchor)
        for found in [m for m in krbd.mappings(wanted.name)
                      if m.image == wanted and held is not None
                      and m.client == held.client]:
            images.unmap(found, by_force=forced)


def _granted(conf: object, pool: object) -> grants.Grant:
    """Return the grant of a pool whose backend has gateways.

    :raises RequestRefused: when it has none, or when the pool has several
        backends: their targets would share clients, and a fence of one would
        end the service of another.
    """
    grant = grants.ceph_pool(conf, pool)
    if not grant.has_gateways:
        raise exception.RequestRefused(
            f'a client for backend {grant.backend}', 'it has no '
            'mydriver_gateway_addresses')
    sharing = [g.backend for g in grants.current()
               if g.ceph_conf and g.place == grant.place]
    if len(sharing) > 1:
        raise exception.RequestRefused(
            f'a client for backend {grant.backend}', 'the backends '
            f'{", ".join(sharing)} have pool {grant.place} in common, but '
            'gateways need one of its own')
    return grant


def _anchor(conf: object, pool: object, target: object
            ) -> tuple[cephconf.CephConf, krbd.Image]:
    grant = _granted(conf, pool)
    number = values.integer(target, 'a target', 0, MOST_TARGETS - 1)
    ceph = cephconf.CephConf(grant.ceph_conf, grant.ceph_user)
    return ceph, krbd.Image(ceph.fsid(), grant.place, krbd.anchor(number))


def _beside(anchor: krbd.Image, image: object) -> krbd.Image:
    """Return the image of ours that a caller names, in an anchor's pool."""
    return dataclasses.replace(
        anchor, name=values.text(image, 'an image', images.NAME))


def _option(pool: str, target: int) -> str:
    """Return the option that sets the client of a target apart."""
    number = zlib.crc32(pool.encode()) % _POOLS * MOST_TARGETS + target
    return f'osd_idle_ttl={_FIRST_S + number}'

# SPDX-License-Identifier: Apache-2.0
"""Privileged verbs that map images with the kernel's client of Ceph RBD.

A caller names a pool that root's configuration gives to a backend, and an
image with a name of ours. Where the cluster is, who the client is and its key
come from files that root's configuration names, never from the caller. A
mapping that is used is never replaced or removed.

An image is mapped without ``exclusive``. A client that mapped it so never
releases the image's lock, and librbd can then neither take a snapshot of the
image nor resize it: both fail with EROFS as long as the mapping lasts.

``write()`` to a file of the bus is the whole call: drivers/block/rbd.c,
rbd_add_parse_args and do_rbd_remove; Documentation/ABI/testing/sysfs-bus-rbd.
"""

from collections.abc import Iterable, Iterator
import contextlib
import errno
import fcntl
import os
import re
import subprocess
import threading
import time

from mydriver import exception, privileged, waiting
from mydriver.privileged import (
    blockdev,
    cephconf,
    grants,
    krbd,
    values,
    verbs,
)
from mydriver.privileged.rbd import keys

#: An image of ours; what is called otherwise is not touched.
NAME = re.compile(
    r'(?:volume|snapshot)-[0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12}\Z')
#: Form of an image's id.
ID = re.compile(r'[0-9a-f]{1,64}\Z')

#: How long udev may take to make the link, and to close the device again
#: after it has looked at it, or to remove the link.
LINK_TIMEOUT_S = 15.0
BUSY_TIMEOUT_S = 5.0
_PAUSE_S = 0.05

#: How long a map may wait for the cluster, and for the image's lock: a holder
#: that died keeps it until its watch ends (osd_client_watch_timeout, 30 s).
#: Both end before a caller gives up (channel.TIMEOUT_S).
_LIMITS = 'mount_timeout=20,lock_timeout=35'


@privileged.target_context.entrypoint
@verbs.translating_os_errors('map an image', exception.StoreError)
def map_image(conf: str, pool: str, image: str, image_id: str,
              read_only: bool) -> str:
    """Map an image, unless it is mapped; wait for its link.

    :param conf: Ceph's configuration file, as the backend's option has it.
    :param image: its name.
    :param image_id: the id that it has to have.
    :param read_only: refuse writes.
    :returns: path of the device, the same after a reboot.
    :raises RequestRefused: when the pool or the name is not ours.
    :raises StoreError: when the kernel cannot map it, or another image of
        that name is mapped and in use.
    :raises WaitTimeout: when udev makes no link.
    """
    ceph, wanted = named(conf, pool, image)
    its_id = values.text(image_id, 'an image id', ID)
    read_only = values.boolean(read_only, 'read_only')
    if (grants.ceph_pool(conf, pool).has_gateways
            and krbd.find(wanted) is None):
        _settle()
    with alone():
        found = krbd.find(wanted)
        if found and (found.image_id != its_id
                      or found.is_read_only() != read_only):
            # A namesake that has been deleted or replaced since.
            _refuse_gateways(found)
            unmap(found)
            found = None
        if found is None:
            add(ceph, wanted, read_only)
            found = krbd.find(wanted)
        if found is None or found.image_id != its_id:
            if found:
                unmap(found)
            raise exception.StoreError(
                f'map {wanted.pool}/{wanted.name}',
                f'the image of that name is not {its_id}')
    wait_for_link(found)
    return wanted.link


@privileged.target_context.entrypoint
@verbs.translating_os_errors('unmap an image', exception.StoreError)
def unmap_image(conf: str, pool: str, image: str) -> None:
    """Unmap an image; it is fine when it is not mapped.

    What a gateway on this host has mapped stays (:mod:`.clients`).

    :raises RequestRefused: when the pool or the name is not ours.
    :raises StoreError: when the device is in use.
    """
    _ceph, wanted = named(conf, pool, image)
    with alone():
        kept = krbd.of_gateways()
        for found in [m for m in krbd.mappings(wanted.name)
                      if m.image == wanted and m.client not in kept]:
            unmap(found)


@privileged.target_context.entrypoint
@verbs.translating_os_errors('flush an image', exception.StoreError)
def flush_image(conf: str, pool: str, image: str) -> None:
    """Write out what this host has cached of an image, if it is mapped.

    :raises RequestRefused: when the pool or the name is not ours.
    :raises StoreError: when the device did not accept the writes.
    """
    _ceph, wanted = named(conf, pool, image)
    found = krbd.find(wanted)
    if found is None or found.is_read_only():
        return
    fd = os.open(found.device, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    try:
        if found.is_at(f'/proc/self/fd/{fd}'):
            blockdev.flush(fd)
    finally:
        os.close(fd)


def named(conf: str, pool: str, image: str
          ) -> tuple[cephconf.CephConf, krbd.Image]:
    """Return the cluster's configuration, and the image in its granted pool.

    :raises RequestRefused: when either is not ours.
    """
    name = values.text(image, 'an image', NAME)
    grant = grants.ceph_pool(conf, pool)
    ceph = cephconf.CephConf(grant.ceph_conf, grant.ceph_user)
    return ceph, krbd.Image(ceph.fsid(), grant.place, name)


@contextlib.contextmanager
def alone() -> Iterator[None]:
    """Keep other processes of ours from mapping or unmapping meanwhile."""
    with _locked(fcntl.LOCK_EX):
        yield


#: The images that this process is about to map beside others.
_mapping: set[krbd.Image] = set()
_mapping_changed = threading.Condition()


@contextlib.contextmanager
def beside_others(image: krbd.Image) -> Iterator[None]:
    """Keep others of ours from mapping or unmapping an image meanwhile.

    Other images can be mapped, by this process in the same way: most of the
    time of a map is that of Ceph's answers.
    """
    with _mapping_changed:
        _mapping_changed.wait_for(lambda: image not in _mapping)
        _mapping.add(image)
    try:
        with _locked(fcntl.LOCK_SH):
            yield
    finally:
        with _mapping_changed:
            _mapping.remove(image)
            _mapping_changed.notify_all()


@contextlib.contextmanager
def _locked(how: int) -> Iterator[None]:
    """Lock the bus.

    :param how: LOCK_EX or LOCK_SH.
    :raises ConfigurationError: when there is none.
    """
    try:
        fd = os.open(krbd.BUS, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except FileNotFoundError as e:
        raise exception.ConfigurationError(
            'mydriver_store', 'rbd needs the kernel module rbd, which is not '
            'loaded', 'Run modprobe rbd, and name it in '
            '/etc/modules-load.d/mydriver.conf.') from e
    try:
        fcntl.flock(fd, how)
        yield
    finally:
        os.close(fd)


def add(ceph: cephconf.CephConf, image: krbd.Image, read_only: bool,
        more: Iterable[str] = ()) -> None:
    """Map an image.

    :param more: further options.
    :raises StoreError: when the kernel cannot.
    """
    monitors, mode = ceph.monitors()
    options = [f'name={ceph.user}', f'key=client.{ceph.user}', _LIMITS,
               *filter(None, [mode]), *(['ro'] if read_only else []), *more]
    line = f'{monitors} {",".join(options)} {image.pool} {image.name} -'
    _wait_for_udev(image)
    with keys.held(f'client.{ceph.user}', ceph.key()):
        try:
            _write('add', line)
        except OSError as e:
            raise exception.StoreError(
                f'map {image.pool}/{image.name}',
                f'{e.strerror}; see the kernel log') from e


def unmap(found: krbd.Mapping, *, by_force: bool = False) -> None:
    """Unmap a device that nobody uses; udev may be about to close it.

    :param by_force: although it is open. Writes that Ceph has not
        acknowledged fail, and may still be carried out.
    :raises StoreError: when somebody uses it.
    """
    deadline = time.monotonic() + BUSY_TIMEOUT_S
    while True:
        try:
            _write('remove', f'{found.number}{" force" if by_force else ""}')
        except FileNotFoundError:
            return
        except OSError as e:
            if e.errno != errno.EBUSY or time.monotonic() > deadline:
                raise exception.StoreError(
                    f'unmap {found.image.pool}/{found.image.name}',
                    f'{found.device} is still in use' if e.errno ==
                    errno.EBUSY else f'{e.strerror}') from e
            time.sleep(_PAUSE_S)
        else:
            return


def _settle() -> None:
    """Let udev finish what it is doing, as far as it does so in time.

    A gateway on this host may have mapped and unmapped the image just now,
    without waiting for udev. The link that udev then makes and removes leads
    to the next device with the same number, too.
    """
    with contextlib.suppress(FileNotFoundError):
        subprocess.run(
            ['udevadm', 'settle', f'--timeout={LINK_TIMEOUT_S:.0f}'],
            check=False, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL)


def _refuse_gateways(found: krbd.Mapping) -> None:
    """Check that no gateway on this host has mapped an image.

    :raises StoreError: when one has.
    """
    if found.client in krbd.of_gateways():
        raise exception.StoreError(
            f'map {found.image.pool}/{found.image.name}',
            'a gateway on this host has mapped another image of that name')


def _write(call: str, line: str) -> None:
    """Write to the bus, in a single call.

    With ``single_major``, the default, ``add`` and ``remove`` refuse.
    """
    path = krbd.BUS / f'{call}_single_major'
    if not path.exists():
        path = krbd.BUS / call
    fd = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
    try:
        os.write(fd, line.encode())
    finally:
        os.close(fd)


def _wait_for_udev(image: krbd.Image) -> None:
    """Wait until udev has removed the link of an earlier mapping.

    The kernel gives the next mapping the same number, so that this link would
    lead to it at once, and udev would remove it a moment later. A link that
    udev has forgotten does no harm: udev replaces it.
    """
    with contextlib.suppress(exception.WaitTimeout):
        waiting.wait_for(
            lambda: os.path.exists(image.link)
            or not os.path.lexists(image.link),
            f'udev to remove {image.link}', BUSY_TIMEOUT_S)


def wait_for_link(found: krbd.Mapping) -> None:
    link = found.image.link
    waiting.wait_for(
        lambda: found.is_at(link),
        f'udev to make {link} for {found.device} (the rule is in ceph-common, '
        '50-rbd.rules)', LINK_TIMEOUT_S)

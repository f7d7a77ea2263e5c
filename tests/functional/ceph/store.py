# SPDX-License-Identifier: Apache-2.0
"""A store of the kind ``rbd``, for tests in a node with a Ceph."""

import contextlib
import os
from pathlib import Path
import shutil
import tempfile
import unittest

from oslo_config import cfg
import rados
import rbd

from mydriver import privileged
from mydriver.ceph import cluster
from mydriver.privileged import grants, krbd
from mydriver.stores import names
from mydriver.stores.rbd import store
from mydriver.target.journal.rados import keys
from tests.functional import base
from tests.functional.ceph import base as ceph_base

SETTINGS = cluster.Settings(ceph_base.VOLUMES, ceph_base.USER)


def grant(test: unittest.TestCase) -> Path:
    """Give the pool to a backend, in a file of root's."""
    folder = Path(tempfile.mkdtemp(dir='/run'))
    test.addCleanup(shutil.rmtree, folder)
    path = folder / 'cinder.conf'
    path.write_text(
        '[DEFAULT]\nenabled_backends = ceph\n[ceph]\n'
        f'volume_driver = {grants.DRIVER}\nmydriver_store = rbd\n'
        f'mydriver_rbd_pool = {SETTINGS.pool}\n')
    cfg.CONF(['--config-file', str(path)], project='mydriver')
    return path


def use(test: unittest.TestCase) -> None:
    """Run privileged verbs in this very process, with the kernel's client."""
    base.run('modprobe', 'rbd', 'single_major=Y')
    grant(test)
    privileged.target_context.set_client_mode(False)
    test.addCleanup(privileged.target_context.set_client_mode, True)


def make(depth: int = store.CLONE_DEPTH, service: str = 'node@ceph', *,
         is_shared: bool = False) -> store.RbdStore:
    """Return a store on the pool of volumes."""
    found = store.RbdStore(SETTINGS, clone_depth=depth)
    found.serve(service, is_shared=is_shared)
    return found


def unmap_ours() -> None:
    """Unmap every image of the store and its gateways on this node."""
    base.run('udevadm', 'settle')
    clients = krbd.of_gateways()
    for found in krbd.mappings():
        if (found.image.pool == SETTINGS.pool and (
                names.is_name(found.image.name) or found.client in clients)):
            (krbd.BUS / 'remove_single_major').write_text(str(found.number))


def clear(ioctx: object) -> None:
    """Remove all that is in the pool, also what is in its trash."""
    unmap_ours()
    api = rbd.RBD()
    todo = [i['name'] for i in api.list2(ioctx)]
    for name in todo:
        api.trash_move(ioctx, name, 0)
    while left := [e['id'] for e in api.trash_list(ioctx)]:
        gone = 0
        for image_id in left:
            with contextlib.suppress(rbd.ImageHasSnapshots):
                # A store that is still open empties its trash, too.
                with contextlib.suppress(rbd.ImageNotFound):
                    _drop_snapshots(ioctx, image_id)
                    api.trash_remove(ioctx, image_id)
                gone += 1
        if not gone:
            raise AssertionError(f'these stay in the trash: {left}')
    for thing in list(ioctx.list_objects()):
        if thing.key.startswith('mydriver.'):
            ioctx.remove_object(thing.key)


def clear_namespace(ioctx: object, backend: str) -> None:
    """Remove the journal and all records of a backend."""
    ioctx.set_namespace(keys.namespace(backend))
    for thing in list(ioctx.list_objects()):
        ioctx.remove_object(thing.key)
    ioctx.set_namespace('')


def _drop_snapshots(ioctx: object, image_id: str) -> None:
    """Remove the snapshots of an image that have no clones."""
    with contextlib.suppress(rbd.ImageNotFound), rbd.Image(
            ioctx, image_id=image_id) as image:
        for snap in [s['name'] for s in image.list_snaps()
                     if s['namespace'] == rbd.RBD_SNAP_NAMESPACE_TYPE_USER]:
            image.set_snap(snap)
            if list(image.list_children2()):
                continue
            image.set_snap(None)
            if image.is_protected_snap(snap):
                unprotect(ioctx.name, image.id(), snap)
            image.remove_snap(snap)


def unprotect(pool: str, image_id: str, snap: str) -> None:
    """Let a snapshot of an image be removed.

    librbd does that with a call that waits in a thread of completions, so it
    needs a connection that has more than one.
    """
    with (rados.Rados(conffile=os.environ['CEPH_CONF'],
                      name='client.admin') as cluster_,
          cluster_.open_ioctx(pool) as ioctx,
          rbd.Image(ioctx, image_id=image_id) as image):
        image.unprotect_snap(snap)

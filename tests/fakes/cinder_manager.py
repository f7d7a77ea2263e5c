# SPDX-License-Identifier: Apache-2.0
"""The driver under Cinder's own manager, with a database.

Manager, flows, objects and database (sqlite) are Cinder's real ones; RPC goes
nowhere, Glance is :class:`fakes.ImageService`.
"""

import atexit
import datetime
import os
import shutil
import tempfile
from typing import Any, BinaryIO
from unittest import mock
import uuid

from cinder import context as cinder_context
from cinder import objects, rpc
from cinder.db import migration
from oslo_config import cfg
from oslo_utils import importutils

from tests.fakes import cinder as fakes
from tests.fakes import filesystem

CONF = cfg.CONF
BACKENDS = ('disks', 'other')
PROJECT = uuid.uuid4().hex
UPDATED = datetime.datetime(2026, 11, 1, tzinfo=datetime.UTC)
KIND = 'tests.fakes.cinder.manager_driver'

#: One for all tests of a process: Cinder binds to it once.
_DATABASE: list[str] = []


def database() -> str:
    """Return the database's directory, made when it is first asked for."""
    if not _DATABASE:
        _DATABASE.append(tempfile.mkdtemp(prefix='mydriver-',
                                          dir=filesystem.MEMORY))
        CONF.set_override('connection', f'sqlite:///{_DATABASE[0]}/cinder',
                          'database')
        migration.db_sync()
        atexit.register(shutil.rmtree, _DATABASE[0])
    return _DATABASE[0]


class Images(fakes.ImageService):
    """Glance with a file store.

    :param folder: where it keeps its images.
    """

    def __init__(self, folder: str) -> None:
        super().__init__()
        self.folder = folder
        self.downloads = 0
        self.shown = True

    def add(self, data: bytes, disk_format: str = 'raw') -> str:
        """Keep an image in the directory too."""
        image_id = super().add(data, disk_format)
        self.images[image_id].update(
            owner=PROJECT, updated_at=UPDATED, status='active')
        with open(os.path.join(self.folder, image_id), 'wb') as f:
            f.write(data)
        return image_id

    def get_location(self, _context: Any, image_id: str
                     ) -> tuple[str | None, None]:
        """Say where the image is, where Glance shows it."""
        if not self.shown:
            return None, None
        return f'file://{self.folder}/{image_id}', None

    def download(self, context: Any, image_id: str, data: BinaryIO) -> None:
        """Count it."""
        self.downloads += 1
        super().download(context, image_id, data)


class ManagerTestCase(fakes.CinderTestCase):
    """Two backends of one service, each under a manager of its own."""

    #: More lines for the section of the first backend and [DEFAULT].
    options = ''
    #: Makes the driver of both backends.
    kind = KIND

    def setUp(self) -> None:
        """Start two managers on an empty database."""
        super().setUp()
        for name in ('other', 'glance'):
            os.mkdir(os.path.join(self.folder, name))
        self.configure(f"""
            {self.options}
            [other]
            volume_driver = {self.kind}
            volume_backend_name = slow
            mydriver_store_path = {self.folder}/other
            [DEFAULT]
            enabled_backends = disks, other
            transport_url = fake:/
            allowed_direct_url_schemes = file, cinder
            cinder_internal_tenant_project_id = {PROJECT}
            cinder_internal_tenant_user_id = {PROJECT}
        """)
        database()
        rpc.init(CONF)
        self.addCleanup(rpc.cleanup)
        self.context = cinder_context.RequestContext(
            PROJECT, PROJECT, is_admin=True)
        self.images = Images(os.path.join(self.folder, 'glance'))
        patched = mock.patch(
            'cinder.image.glance.get_remote_image_service',
            lambda _context, image_id: (self.images, image_id))
        patched.start()
        self.addCleanup(patched.stop)
        self.type = objects.VolumeType(
            self.context, name=uuid.uuid4().hex, is_public=True,
            extra_specs={}, projects=[], description='')
        self.type.create()
        self.managers = {name: self.manager(name) for name in BACKENDS}
        self.disks, self.other = (self.managers[n] for n in BACKENDS)

    def manager(self, backend: str) -> Any:
        """Return the manager of a backend, its driver ready."""
        host = f'{uuid.uuid4().hex}@{backend}'
        objects.Service(self.context, host=host, binary='cinder-volume',
                        topic='cinder-volume', availability_zone='nova',
                        report_count=0, rpc_current_version='3.19',
                        object_current_version=(
                            objects.base.OBJ_VERSIONS.get_current())
                        ).create()
        made = importutils.import_object(
            CONF.volume_manager, volume_driver=self.kind, service_name=backend,
            host=host)
        made.driver.do_setup(self.context)
        made.driver.check_for_setup_error()
        made.driver.set_initialized()
        made.stats = {'pools': {}, 'allocated_capacity_gb': 0}
        self.addCleanup(made.driver.engine.journal.close)
        return made

    def record(self, of: Any, size: int = 1, **fields: Any) -> Any:
        """Return the record of a new volume, as the API makes it."""
        pool = of.driver.get_pool(None)
        volume = objects.Volume(self.context, **{
            'host': f'{of.host}#{pool}', 'size': size, 'status': 'creating',
            'user_id': PROJECT, 'project_id': PROJECT,
            'availability_zone': 'nova', 'attach_status': 'detached',
            'volume_type_id': self.type.id, **fields})
        volume.create()
        return volume

    def created(self, of: Any = None, **fields: Any) -> Any:
        """Return a new volume that the manager made."""
        of = of or self.disks
        request = fields.pop('request', {})
        volume = self.record(of, **fields)
        of.create_volume(self.context, volume,
                         objects.RequestSpec(self.context, **request))
        volume.refresh()
        self.assertEqual('available', volume.status)
        return volume

    def snapshot_of(self, volume: Any, of: Any = None) -> Any:
        """Return a new snapshot that the manager made."""
        snapshot = objects.Snapshot(
            self.context, volume_id=volume.id, status='creating',
            user_id=PROJECT, project_id=PROJECT, volume_size=volume.size,
            volume_type_id=self.type.id, metadata={})
        snapshot.create()
        (of or self.disks).create_snapshot(self.context, snapshot)
        snapshot.refresh()
        self.assertEqual('available', snapshot.status)
        return snapshot

    def files(self, of: Any = None) -> list[str]:
        """Return the names in a backend's directory."""
        return list((of or self.disks).driver.backend.store.names())

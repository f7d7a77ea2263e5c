# SPDX-License-Identifier: Apache-2.0
"""Cinder's surroundings of a driver: configuration, objects, images, locks.

Objects, configuration and locks are Cinder's real ones. In memory are the
kernel's target, the filesystem's shared extents, Glance and the database.
"""

from collections.abc import Callable, Collection, Sequence
import os
import shutil
import tempfile
import textwrap
from typing import Any, BinaryIO
import unittest
import uuid

from cinder import context as cinder_context
from cinder import coordination, objects
from cinder import privsep as cinder_privsep
from cinder.volume import configuration
from cinder.volume import driver as cinder_driver
from oslo_config import cfg

from mydriver import exception, model
from mydriver.backend import devices, settings
from mydriver.ceph import omap
from mydriver.cinder_volume import driver
from mydriver.stores import base
from mydriver.stores.reflink import probe
from mydriver.stores.reflink import store as reflink
from mydriver.target import chap, configfs, exports, pool
from mydriver.target.journal import sqlite as journals
from tests.fakes import filesystem
from tests.fakes import omap as fake_omap
from tests.fakes import target as fake_target

objects.register_all()

CONF = cfg.CONF
BACKEND = 'disks'
HOST = f'storage@{BACKEND}'
INITIATOR = 'iqn.1993-08.org.debian:01:compute'
PORTALS = ('192.0.2.1:3260', '192.0.2.2:3260')

CINDER_CONF = """
    [DEFAULT]
    state_path = {folder}/state
    my_ip = 192.0.2.1
    enabled_backends = disks
    image_conversion_dir = {folder}/conversion
    rootwrap_config = /nonexistent
    [disks]
    volume_driver = mydriver.cinder_volume.driver.LIODriver
    volume_backend_name = fast
    target_secondary_ip_addresses = 192.0.2.2
    mydriver_store_path = {folder}/store
    {options}
"""


def context() -> Any:
    """Return an administrator's request context."""
    return cinder_context.get_admin_context()


def volume(size: int = 1, **fields: Any) -> Any:
    """Return a Cinder volume."""
    values = {
        'id': str(uuid.uuid4()), '_name_id': None, 'size': size,
        'host': f'{HOST}#fast', 'status': 'available',
        'migration_status': None, 'provider_geometry': '512 512',
        'encryption_key_id': None,
        'multiattach': False, 'admin_metadata': {}, 'glance_metadata': {},
        'volume_type_id': None, 'volume_type': objects.VolumeType(
            context(), id=str(uuid.uuid4()), extra_specs={}), **fields}
    attached = values.pop('volume_attachment', [])
    return objects.Volume(
        context(), volume_attachment=objects.VolumeAttachmentList(
            objects=attached), **values)


def snapshot(of: Any, **fields: Any) -> Any:
    """Return a Cinder snapshot of a volume."""
    return objects.Snapshot(
        context(), id=str(uuid.uuid4()), volume=of, volume_id=of.id,
        volume_size=of.size, **fields)


def group(**fields: Any) -> Any:
    """Return a Cinder group."""
    return objects.Group(context(), id=str(uuid.uuid4()), **{
        'group_type_id': str(uuid.uuid4()), 'status': 'available', **fields})


def group_snapshot(of: Any) -> Any:
    """Return a Cinder snapshot of a group."""
    return objects.GroupSnapshot(
        context(), id=str(uuid.uuid4()), group_id=of.id,
        group_type_id=of.group_type_id, status='creating')


def attachment(initiator: str | None = INITIATOR,
               attach_status: str = 'attached',
               info: dict[str, Any] | None = None, **connector: Any) -> Any:
    """Return an attachment record; no initiator, no connector.

    :param info: what ``initialize_connection`` returned for it.
    """
    return objects.VolumeAttachment(
        context(), id=str(uuid.uuid4()), attach_status=attach_status,
        # As the manager flattens it (VolumeManager._connection_create).
        connection_info=info and {**info['data'], 'driver_volume_type':
                                  info['driver_volume_type']},
        connector={'initiator': initiator, **connector} if initiator
        else None)


def connector(initiator: str = INITIATOR, host: str = 'compute'
              ) -> dict[str, Any]:
    """Return the connector of a stock compute host."""
    return {'initiator': initiator, 'host': host, 'ip': '192.0.2.9',
            'multipath': False, 'os_type': 'linux', 'platform': 'x86_64'}


class ImageService:
    """Glance in memory."""

    def __init__(self) -> None:
        self.images: dict[str, dict[str, Any]] = {}
        self.temp_images: Any = None  # image_utils.TemporaryImages sets it

    def add(self, data: bytes, disk_format: str = 'raw') -> str:
        """Keep an image; return its id."""
        image_id = str(uuid.uuid4())
        self.images[image_id] = {
            'id': image_id, 'disk_format': disk_format, 'size': len(data),
            'container_format': 'bare', 'properties': {}, 'data': data}
        return image_id

    def show(self, _context: Any, image_id: str) -> dict[str, Any]:
        """Return what is known of an image."""
        return {k: v for k, v in self.images[image_id].items()
                if k != 'data'}

    def download(self, _context: Any, image_id: str,
                 data: BinaryIO) -> None:
        """Write an image to an open file."""
        data.write(self.images[image_id]['data'])

    def update(self, _context: Any, image_id: str, meta: dict[str, Any],
               data: BinaryIO | None = None, *, purge_props: bool = True,
               **_store: Any) -> None:
        """Take over an image's properties and data."""
        image = self.images[image_id]
        if 'properties' in meta:
            image['properties'] = {
                **({} if purge_props else image['properties']),
                **meta['properties']}
        if data is not None:
            image['data'] = data.read()


class Records:
    """Cinder's database in memory: what a driver asks of it.

    Put volumes into ``volumes``, ids of deleted ones into ``deleted_ids``,
    ids of snapshots into ``snapshot_ids`` and ids of volumes that have some
    into ``with_snapshots``. Set ``broken`` and no query for volumes is
    answered.
    """

    def __init__(self) -> None:
        self.volumes: list[Any] = []
        self.deleted_ids: list[str] = []
        self.snapshot_ids: list[str] = []
        self.with_snapshots: list[str] = []
        self.broken = False

    def of_backings(self, ids: Collection[str]) -> list[Any]:
        """Return the volumes of these ids."""
        if self.broken:
            raise RuntimeError('the database is down')
        return [v for v in self.volumes
                if not {v.id, v.name_id}.isdisjoint(ids)]

    def deleted(self, ids: Collection[str]) -> set[str]:
        """Return those of them that were deleted."""
        return set(ids) & set(self.deleted_ids)

    def of_host(self, host: str) -> list[Any]:
        """Return all volumes: there is but one backend."""
        return list(self.volumes)

    def of_cluster(self, cluster: str) -> list[Any]:
        """Return all volumes: there is but one backend."""
        return list(self.volumes)

    def attachments(self, volume_id: str) -> list[Any]:
        """Return the attachments of a volume."""
        return [a for v in self.volumes if v.id == volume_id
                for a in v.volume_attachment]

    def admin_metadata(self, volume_id: str) -> dict[str, str]:
        """Return the administrator's metadata of a volume."""
        found: dict[str, str] = next(
            v.admin_metadata for v in self.volumes if v.id == volume_id)
        return found

    def has_snapshots(self, volume_id: str) -> bool:
        """Tell whether a volume has snapshots."""
        return volume_id in self.with_snapshots

    def has_snapshot(self, snapshot_id: str) -> bool:
        """Tell whether there is a snapshot of that id."""
        return snapshot_id in self.snapshot_ids


class MemoryEngine:
    """What a driver is set up from: extents and a target in memory.

    Set ``unreachable`` and no portal answers.

    :param clone: stands in for FICLONE; None leaves the real one.
    """

    journal: journals.SqliteJournal
    target: fake_target.MemoryTarget

    def __init__(self, clone: probe.Clone | None = filesystem.copy) -> None:
        self.clone = clone
        self.unreachable = False
        self.notes = fake_omap.FakeObjects()

    def store_of(self, conf: Any, name: str) -> base.VolumeStore:
        """Return the store of a section, whose extents are copies."""
        store = settings.store_of(conf, name)
        if self.clone and isinstance(store, reflink.ReflinkStore):
            store._clone = self.clone
        return store

    def exports_of(self, conf: Any, wanted: pool.Settings,
                   store: base.VolumeStore) -> exports.ExportService:
        """Return a service on a real journal and a target in memory."""
        self.journal = journals.SqliteJournal(
            os.path.join(wanted.state_path, 'journal.sqlite'),
            uuid.uuid4().hex)
        self.target = fake_target.MemoryTarget(
            wanted.backend, wanted.portals, chap=wanted.chap)
        keys = chap.KeyRing.load(wanted.state_path) if wanted.chap else None
        return exports.ExportService(
            wanted, self.journal, self.target, keys,
            self.target.name_prefix, devices.StoreDevices(store),
            self._discover)

    def notes_of(self, conf: Any, wanted: pool.Settings) -> omap.Objects:
        """Return objects in memory, the same for all drivers of an engine."""
        return self.notes

    def _discover(self, target: model.Iqn, initiator: model.Iqn,
                  portals: Sequence[model.Portal], timeout_s: float
                  ) -> tuple[model.Portal, ...]:
        seen = self.target.observe(target)
        if self.unreachable or not seen or str(initiator) not in seen.acls:
            raise exception.TargetNotDiscovered(
                str(target), str(initiator), 'nobody answers.')
        return tuple(portals)

    def mapped(self) -> list[tuple[str, str, bool]]:
        """Return (volume, initiator, read only) of each mapped LUN."""
        found = []
        for seen in self._seen():
            of_lun = {e.lun: e.serial for e in seen.exports}
            found += [(of_lun[m.tpg_lun], m.initiator, m.read_only)
                      for m in seen.mappings]
        return sorted(found)

    def exported(self) -> dict[str, int]:
        """Return the volumes that the target has, with their sizes."""
        return {e.serial: e.size_bytes for seen in self._seen()
                for e in seen.exports}

    def _seen(self) -> list[configfs.SeenTarget]:
        return [seen for iqn in self.target.targets
                if (seen := self.target.observe(model.Iqn(iqn)))]


def memory_driver(**kwargs: Any) -> driver.LIODriver:
    """Return a driver on a target in memory, as Cinder's manager makes one.

    :param kwargs: those of the manager, ``records`` and ``engine``.
    """
    return driver.LIODriver(
        **{'records': Records(), 'engine': MemoryEngine(), **kwargs})


def manager_driver(**kwargs: Any) -> driver.LIODriver:
    """Return such a driver on Cinder's real database."""
    return memory_driver(**{'records': None, **kwargs})


def start_coordination(case: unittest.TestCase, folder: str) -> None:
    """Start Cinder's locks for a test.

    :param folder: where their files are made, in its subfolder ``locks``.
    """
    os.makedirs(f'{folder}/locks', exist_ok=True)
    for option, value, group in (
            ('backend_url', f'file://{folder}/locks', 'coordination'),
            ('lock_path', f'{folder}/locks', 'oslo_concurrency')):
        CONF.set_override(option, value, group=group)
        case.addCleanup(CONF.clear_override, option, group=group)
    coordination.COORDINATOR.start()
    case.addCleanup(coordination.COORDINATOR.stop)


class CinderTestCase(unittest.TestCase):
    """A test with a cinder.conf and Cinder's coordination of its own."""

    def setUp(self) -> None:
        """Make the directories and start Cinder's locks."""
        super().setUp()
        self.folder = tempfile.mkdtemp(prefix='mydriver-',
                                       dir=filesystem.MEMORY)
        self.addCleanup(shutil.rmtree, self.folder)
        self.store_path = os.path.join(self.folder, 'store')
        for name in ('store', 'state', 'conversion', 'locks'):
            os.mkdir(os.path.join(self.folder, name))
        self.configure()
        start_coordination(self, self.folder)
        # Cinder's own privileged daemon, which looks at images, in process.
        cinder_privsep.sys_admin_pctxt.set_client_mode(False)
        self.addCleanup(cinder_privsep.sys_admin_pctxt.set_client_mode, True)

    def configure(self, options: str = '') -> None:
        """Read a cinder.conf with these options for the backend."""
        path = os.path.join(self.folder, 'cinder.conf')
        with open(path, 'w') as f:
            f.write(textwrap.dedent(CINDER_CONF).format(
                folder=self.folder,
                options=textwrap.dedent(options).strip()))
        CONF(['--config-file', path], project='cinder')
        # Not reset(): that would take the privileged contexts' defaults.
        self.addCleanup(CONF.clear)

    def new_driver(self, make: Callable[..., Any] = memory_driver,
                   **parts: Any) -> Any:
        """Return a driver as the manager makes one, not set up.

        :param parts: ``records`` and ``engine``, where not the usual ones.
        """
        return make(
            configuration=configuration.Configuration(
                cinder_driver.volume_opts, config_group=BACKEND),
            host=HOST, cluster_name=None, is_vol_db_empty=False,
            active_backend_id=None, **parts)

    def started_driver(self, **parts: Any) -> Any:
        """Return a driver that is set up; see :meth:`new_driver`."""
        made = self.new_driver(**parts)
        made.do_setup(context())
        made.check_for_setup_error()
        self.addCleanup(made.engine.journal.close)
        return made

    def stored(self) -> list[str]:
        """Return what is in the store, but for its own id."""
        return sorted(n for n in os.listdir(self.store_path)
                      if n != '.mydriver-store')

    def path(self, of: Any) -> str:
        """Return the file of a volume or snapshot."""
        name = (f'volume-{of.name_id}' if isinstance(of, objects.Volume)
                else f'snapshot-{of.id}')
        return os.path.join(self.store_path, name)

    def write(self, of: Any, data: bytes, offset: int = 0) -> None:
        """Write into a volume as a guest does."""
        with open(self.path(of), 'r+b') as f:
            f.seek(offset)
            f.write(data)

    def read(self, of: Any, length: int, offset: int = 0) -> bytes:
        """Read from a volume or snapshot."""
        with open(self.path(of), 'rb') as f:
            f.seek(offset)
            return f.read(length)

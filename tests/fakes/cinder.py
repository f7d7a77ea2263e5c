# SPDX-License-Identifier: Apache-2.0
"""Cinder's surroundings of a driver: configuration, objects, images, locks.

Objects, configuration and locks are Cinder's real ones. In memory are the
kernel's target, the filesystem's shared extents, Glance and the database.
"""

import os
import shutil
import tempfile
import textwrap
import unittest
import uuid

from cinder import context as cinder_context
from cinder import coordination, objects
from cinder import privsep as cinder_privsep
from cinder.volume import configuration
from cinder.volume import driver as cinder_driver
from oslo_config import cfg

from mydriver import exception, model
from mydriver.backend import devices
from mydriver.cinder_volume import driver
from mydriver.target import chap, exports
from mydriver.target.journal import sqlite as journals
from tests.fakes import filesystem
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


def context():
    """Return an administrator's request context."""
    return cinder_context.get_admin_context()


def volume(size=1, **fields):
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


def snapshot(of, **fields):
    """Return a Cinder snapshot of a volume."""
    return objects.Snapshot(
        context(), id=str(uuid.uuid4()), volume=of, volume_id=of.id,
        volume_size=of.size, **fields)


def group(**fields):
    """Return a Cinder group."""
    return objects.Group(context(), id=str(uuid.uuid4()), **{
        'group_type_id': str(uuid.uuid4()), 'status': 'available', **fields})


def group_snapshot(of):
    """Return a Cinder snapshot of a group."""
    return objects.GroupSnapshot(
        context(), id=str(uuid.uuid4()), group_id=of.id,
        group_type_id=of.group_type_id, status='creating')


def attachment(initiator=INITIATOR, attach_status='attached', info=None,
               **connector):
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


def connector(initiator=INITIATOR, host='compute'):
    """Return the connector of a stock compute host."""
    return {'initiator': initiator, 'host': host, 'ip': '192.0.2.9',
            'multipath': False, 'os_type': 'linux', 'platform': 'x86_64'}


class ImageService:
    """Glance in memory."""

    def __init__(self):
        self.images = {}
        self.temp_images = None  # image_utils.TemporaryImages sets it

    def add(self, data, disk_format='raw'):
        """Keep an image; return its id."""
        image_id = str(uuid.uuid4())
        self.images[image_id] = {
            'id': image_id, 'disk_format': disk_format, 'size': len(data),
            'container_format': 'bare', 'properties': {}, 'data': data}
        return image_id

    def show(self, _context, image_id):
        """Return what is known of an image."""
        return {k: v for k, v in self.images[image_id].items()
                if k != 'data'}

    def download(self, _context, image_id, data):
        """Write an image to an open file."""
        data.write(self.images[image_id]['data'])

    def update(self, _context, image_id, meta, data=None, *,
               purge_props=True, **_store):
        """Take over an image's properties and data."""
        image = self.images[image_id]
        if 'properties' in meta:
            image['properties'] = {
                **({} if purge_props else image['properties']),
                **meta['properties']}
        if data is not None:
            image['data'] = data.read()


class Records:
    """Cinder's database in memory: what a driver's ``records`` has.

    :param owner: the driver; its ``deleted`` has the ids of what Cinder has
        deleted. Set its ``broken`` and no query is answered.
    """

    def __init__(self, owner):
        self.owner = owner

    def of_backings(self, ids):
        """Return the volumes of these ids."""
        if getattr(self.owner, 'broken', False):
            raise RuntimeError('the database is down')
        return [v for v in self.owner.records
                if not {v.id, v.name_id}.isdisjoint(ids)]

    def deleted(self, ids):
        """Return those of them that were deleted."""
        return set(ids) & set(getattr(self.owner, 'deleted', ()))

    def of_host(self, _host):
        """Return all volumes: there is but one backend."""
        return list(self.owner.records)


class Driver(driver.LIODriver):
    """The driver on a target and extents in memory.

    Set ``unreachable`` and no portal answers; put volumes into ``records``
    and they are in Cinder's database, ids of snapshots into
    ``known_snapshots`` and ids of volumes that have some into
    ``with_snapshots``.
    """

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.records = []
        self.known_snapshots = []
        self.with_snapshots = []
        self.unreachable = False

    def _make_store(self, conf, backend):
        proxy = super()._make_store(conf, backend)
        proxy._obj._clone = filesystem.copy
        return proxy

    def _make_service(self, wanted):
        self.journal = journals.SqliteJournal(
            os.path.join(wanted.state_path, 'journal.sqlite'),
            uuid.uuid4().hex)
        self.target = fake_target.MemoryTarget(
            wanted.backend, wanted.portals, chap=wanted.chap)
        keys = chap.KeyRing.load(wanted.state_path) if wanted.chap else None
        return exports.ExportService(
            wanted, self.journal, self.target, keys,
            self.target.name_prefix, devices.StoreDevices(self.store),
            self._discover)

    def _discover(self, target, initiator, portals, timeout_s):
        seen = self.target.observe(target)
        if self.unreachable or str(initiator) not in seen.acls:
            raise exception.TargetNotDiscovered(
                str(target), str(initiator), 'nobody answers.')
        return tuple(portals)

    def _make_records(self):
        return Records(self)

    def _is_known(self, kind, its_id):
        if kind == 'snapshot':
            return its_id in self.known_snapshots
        return any(its_id in (v.id, v.name_id) for v in self.records)

    def _attachments(self, volume):
        return list(volume.volume_attachment)

    def _admin_metadata(self, volume):
        return next(v.admin_metadata for v in self.records
                    if v.id == volume.id)

    def _has_snapshots(self, volume):
        return volume.id in self.with_snapshots

    def mapped(self):
        """Return (volume, initiator, read only) of each mapped LUN."""
        found = []
        for iqn in self.target.targets:
            seen = self.target.observe(model.Iqn(iqn))
            of_lun = {e.lun: e.serial for e in seen.exports}
            found += [(of_lun[m.tpg_lun], m.initiator, m.read_only)
                      for m in seen.mappings]
        return sorted(found)

    def exported(self):
        """Return the volumes that the target has, with their sizes."""
        return {e.serial: e.size_bytes for iqn in self.target.targets
                for e in self.target.observe(
                    model.Iqn(iqn)).exports}


class CinderTestCase(unittest.TestCase):
    """A test with a cinder.conf and Cinder's coordination of its own."""

    def setUp(self):
        """Make the folders and start Cinder's locks."""
        super().setUp()
        self.folder = tempfile.mkdtemp(prefix='mydriver-',
                                       dir=filesystem.MEMORY)
        self.addCleanup(shutil.rmtree, self.folder)
        self.store_path = os.path.join(self.folder, 'store')
        for name in ('store', 'state', 'conversion', 'locks'):
            os.mkdir(os.path.join(self.folder, name))
        self.configure()
        CONF.set_override('backend_url', f'file://{self.folder}/locks',
                          group='coordination')
        CONF.set_override('lock_path', f'{self.folder}/locks',
                          group='oslo_concurrency')
        # Cinder's own privileged daemon, which looks at images, in process.
        cinder_privsep.sys_admin_pctxt.set_client_mode(False)
        self.addCleanup(cinder_privsep.sys_admin_pctxt.set_client_mode, True)
        self.addCleanup(CONF.clear_override, 'backend_url',
                        group='coordination')
        self.addCleanup(CONF.clear_override, 'lock_path',
                        group='oslo_concurrency')
        coordination.COORDINATOR.start()
        self.addCleanup(coordination.COORDINATOR.stop)

    def configure(self, options=''):
        """Read a cinder.conf with these options for the backend."""
        path = os.path.join(self.folder, 'cinder.conf')
        with open(path, 'w') as f:
            f.write(textwrap.dedent(CINDER_CONF).format(
                folder=self.folder,
                options=textwrap.dedent(options).strip()))
        CONF(['--config-file', path], project='cinder')
        # Not reset(): that would take the privileged contexts' defaults.
        self.addCleanup(CONF.clear)

    def new_driver(self, kind=Driver):
        """Return a driver as the manager makes one, not set up."""
        return kind(
            configuration=configuration.Configuration(
                cinder_driver.volume_opts, config_group=BACKEND),
            host=HOST, cluster_name=None, is_vol_db_empty=False,
            active_backend_id=None)

    def started_driver(self):
        """Return a driver that is set up."""
        made = self.new_driver()
        made.do_setup(context())
        made.check_for_setup_error()
        self.addCleanup(made.journal.close)
        return made

    def stored(self):
        """Return what is in the store, but for its own id."""
        return sorted(n for n in os.listdir(self.store_path)
                      if n != '.mydriver-store')

    def path(self, of):
        """Return the file of a volume or snapshot."""
        name = (f'volume-{of.name_id}' if isinstance(of, objects.Volume)
                else f'snapshot-{of.id}')
        return os.path.join(self.store_path, name)

    def write(self, of, data, offset=0):
        """Write into a volume as a guest does."""
        with open(self.path(of), 'r+b') as f:
            f.seek(offset)
            f.write(data)

    def read(self, of, length, offset=0):
        """Read from a volume or snapshot."""
        with open(self.path(of), 'rb') as f:
            f.seek(offset)
            return f.read(length)

# SPDX-License-Identifier: Apache-2.0
"""The driver asks Cinder's database who uses its volumes."""

from cinder import objects
from cinder.db import api as db
from oslo_config import cfg

from mydriver import model
from mydriver.cinder_volume import users
from tests.fakes import cinder as fakes


class RecordsTest(fakes.CinderTestCase):
    """Cinder's own tables and queries, in sqlite."""

    def setUp(self):
        super().setUp()
        cfg.CONF.set_override(
            'connection', f'sqlite:///{self.folder}/cinder.sqlite',
            group='database')
        self.addCleanup(cfg.CONF.clear_override, 'connection',
                        group='database')
        # Cinder 28 has SQLAlchemy's part behind an interface of its own.
        manager = getattr(db, 'IMPL', db).main_context_manager
        with manager.writer.using(fakes.context()) as session:
            objects.Volume.model.metadata.create_all(session.get_bind())
        self.addCleanup(manager.dispose_pool)

    def record(self, kind, **fields):
        """Write a record and return it."""
        made = kind(fakes.context(), **fields)
        made.create()
        return made

    def test_who_uses_a_volume_wherever_it_is(self):
        volume_type = self.record(
            objects.VolumeType, name='fast', description='', is_public=True,
            extra_specs={}, projects=[])
        mine, theirs, free = (
            self.record(objects.Volume, size=1, host=host, status=status,
                        volume_type_id=volume_type.id)
            for host, status in ((f'{fakes.HOST}#fast', 'in-use'),
                                 ('storage@others#fast', 'in-use'),
                                 (f'{fakes.HOST}#fast', 'available')))
        for volume in (mine, theirs):
            self.record(
                objects.VolumeAttachment, volume_id=volume.id,
                attach_status='attached',
                connector={'initiator': fakes.INITIATOR})
        driver = self.new_driver(fakes.manager_driver)
        known = users.Users(driver.records, {mine.id, theirs.id, free.id})
        host = model.Iqn(fakes.INITIATOR)
        self.assertEqual(
            [True, True, False],
            [known.may_use(v.id, host) for v in (mine, theirs, free)])

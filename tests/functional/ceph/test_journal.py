# SPDX-License-Identifier: Apache-2.0
"""What is kept in Ceph passes the same contracts as the fakes."""

import threading
import time
import uuid

from mydriver import model
from mydriver.ceph import cluster, notify, omap
from mydriver.target import key_objects
from mydriver.target.journal.rados import journal, keys, targets
from tests.contract import journal as journal_contract
from tests.contract import keys as keys_contract
from tests.contract import omap as omap_contract
from tests.contract import shared_journal as shared_contract
from tests.functional.ceph import base, cut


class Case(base.CephTestCase):
    """A namespace of its own for each test, as the user of cinder-volume."""

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.connection = cluster.Cluster(cluster.Settings(
            base.VOLUMES, base.USER, str(cls.conf)))
        cls.addClassCleanup(cls.connection.close)

    def namespace(self):
        """Return the objects of a backend of this test's own."""
        return journal.objects_of(
            self.connection, uuid.uuid4().hex)


class OmapTest(omap_contract.OmapContract, Case):
    """Objects with an omap."""

    def setUp(self):
        super().setUp()
        self.objects = self.namespace()

    def test_backends_of_one_pool_never_meet(self):
        other = self.namespace()
        self.objects.write('one', {'a': '1'}, new=True)
        self.assertIsNone(other.read('one', ['a']))
        self.assertIs(omap.Outcome.DONE, other.write('one', {}, new=True))


class JournalCase(Case):
    """A journal."""

    now = 1000.0

    def setUp(self):
        self.objects = self.namespace()
        self.journal = self.reopen('run-1')
        self.journal.create()
        super().setUp()

    def reopen(self, run, service='host-1'):
        opened = journal.RadosJournal(
            self.objects, 'cluster', targets.Run(service, run),
            notify.RadosNotices(self.objects), lambda: self.now)
        self.addCleanup(opened.close)
        return opened


class JournalTest(journal_contract.JournalContract, JournalCase):
    """What every journal does."""


class LostCephTest(JournalCase):
    """Calls take as long as Ceph does not answer, and nothing is lost."""

    def test_ceph_is_lost_for_some_seconds(self):
        target = journal_contract.TARGET
        self.journal.add_targets([target])
        made, taken = [], []

        def work():
            for number in range(200):
                started = time.monotonic()
                volume_id = str(uuid.UUID(int=number))
                made.append(self.journal.add_export(
                    volume_id, model.BackingDevice(
                        'iblock', f'/dev/rbd/{number}', 1 << 20), target))
                taken.append(time.monotonic() - started)
                time.sleep(0.02)

        thread = threading.Thread(target=work)
        thread.start()
        for _ in range(2):
            time.sleep(0.5)
            with cut.without_ceph(self.ceph):
                time.sleep(4)
        thread.join(120)
        self.assertEqual(200, len(made))
        self.assertGreater(max(taken), 2)
        found = self.reopen('run-2').exports()
        self.assertEqual(made, found)
        self.assertEqual(list(range(200)), [e.lun for e in found])


class SharedJournalTest(shared_contract.SharedJournalContract, JournalCase):
    """What gateways and several services need."""

    def spoil(self, target):
        name = keys.target_object(target)
        found = self.objects.read(name, ranges=[omap.Range(keys.MAPPINGS)])
        self.objects.write(name, {max(found.values): '{}'})

    def lose(self, target):
        self.objects.pool().remove_object(keys.target_object(target))


class KeysTest(keys_contract.KeysContract, Case):
    """CHAP keys."""

    def setUp(self):
        super().setUp()
        self.now = 0.0
        self.objects = self.namespace()
        self.storage = key_objects.KeyObjects(self.objects, lambda: self.now)

    def remove_current(self):
        self.objects.write(key_objects.OBJECT, {}, [key_objects.CURRENT])

    def damage(self, fingerprint):
        self.objects.write(key_objects.OBJECT, {
            key_objects.KEPT + fingerprint if fingerprint
            else key_objects.CURRENT: 'x'})

    def an_hour_later(self):
        self.now += 3601

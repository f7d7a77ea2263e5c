# SPDX-License-Identifier: Apache-2.0
"""Notices through Ceph, also when a host loses Ceph for some seconds."""

import time
import uuid

from mydriver.ceph import cluster, notify, omap
from tests.contract import notify as contract
from tests.functional.ceph import base, cut

#: A watch is lost after this many seconds without a connection.
_WATCH_S = 3


class NoticesTest(contract.NotifyContract, base.CephTestCase):
    """Two clients, each with a connection of its own."""

    def setUp(self):
        super().setUp()
        namespace = uuid.uuid4().hex
        self.notices, self.others = (
            self.client(namespace) for _ in range(2))

    def client(self, namespace):
        connection = cluster.Cluster(cluster.Settings(
            base.VOLUMES, base.USER, str(self.conf)))
        self.addCleanup(connection.close)
        self.objects = omap.RadosObjects(connection, namespace)
        notices = notify.RadosNotices(
            self.objects, watch_timeout_s=_WATCH_S)
        self.addCleanup(notices.close)
        return notices

    def make(self, name):
        self.objects.write(name, {}, new=True)

    def test_object_that_does_not_exist_yet(self):
        with self.others.listen('late') as bell:
            self.assertFalse(bell.wait(0.2))
            self.make('late')
            self.assertTrue(self.rings(bell, 5), 'the watch was not made')
            self.quiet(bell)
            self.notices.ring('late')
            self.assertTrue(self.rings(bell))

    def lose_ceph(self, seconds):
        self.make('one')
        with self.others.listen('one') as bell:
            self.quiet(bell)
            with cut.without_ceph(self.ceph):
                self.notices.ring('one')
                started = time.monotonic()
                while time.monotonic() < started + seconds:
                    waited = time.monotonic()
                    bell.wait(60)
                    self.assertLess(time.monotonic() - waited, 2)
            back = time.monotonic()
            self.assertTrue(self.rings(bell, 30), 'the notice never came')
            self.quiet(bell)
            spent = []
            for _ in range(3):
                started = time.monotonic()
                self.notices.ring('one')
                self.assertTrue(self.rings(bell), 'not watched any more')
                spent.append(time.monotonic() - started)
                self.quiet(bell)
            # Whoever only looks needs a second each time.
            self.assertLess(min(spent), 0.9)
            return started - back

    def test_ceph_is_lost_for_a_moment(self):
        self.lose_ceph(1.5)

    def test_ceph_is_lost_for_longer_than_a_watch_lasts(self):
        self.lose_ceph(3 * _WATCH_S)

    def test_without_a_watch_others_look_more_often(self):
        self.make('one')
        plain = notify.RadosNotices(self.objects, watch=False)
        self.addCleanup(plain.close)
        with plain.listen('one') as bell, self.others.listen('one') as other:
            self.quiet(other)
            started = time.monotonic()
            self.assertFalse(bell.wait(5))
            self.assertLess(time.monotonic() - started, 2.5)
            plain.ring('one')
            self.assertTrue(self.rings(other))

# SPDX-License-Identifier: Apache-2.0
"""An export service whose target is that of a gateway, all in memory."""

import threading

from mydriver import exception, model
from mydriver.target import chap, exports, key_objects, kinds, pool
from mydriver.target.gateways import applier, remote
from mydriver.target.journal.rados import journal, targets
from tests.fakes import exports as fakes
from tests.fakes.gateways.images import MemoryCeph, MemoryImages
from tests.fakes.notify import FakeNotices
from tests.fakes.omap import FakeObjects
from tests.fakes.target import MemoryTarget

FSID = '5d0e6c62-2f4c-4d9f-9d3b-1b3a8d0b7f11'

#: More than anything takes here.
LONG_S = 20.0


class GatewayCase(fakes.ServiceCase):
    """The service is cinder-volume's; the owner of its target is a thread.

    :ivar owner: applies what is in the journal.
    :ivar timeout_s: how long the service waits for it.
    """

    timeout_s = LONG_S

    def prepare(self) -> None:
        """Start the owner of the only target."""
        self.settings = pool.of_cluster(pool.Settings(
            'be', 'iqn.2010-10.org.openstack:', (), True, self.folder,
            gateways=pool.Gateways((self.portals,)), targets=1), FSID, 1)
        self.iqn, = pool.pool(self.settings)
        self.objects, self.notices = FakeObjects(), FakeNotices()
        self.ceph = MemoryCeph(self.folder)
        made = self.journal_of('cinder', 'run-0')
        made.create()
        made.add_targets([self.iqn])
        self.target = MemoryTarget(
            'be', (), portals_of=self.settings.portals_of)
        self.owner = Owner(self)
        self.owner.start()
        self.addCleanup(lambda: self.owner.stop())

    def journal_of(self, service: str, run: str) -> journal.RadosJournal:
        """Return the journal as a service sees it."""
        return journal.RadosJournal(
            self.objects, 'be', targets.Run(service, run), self.notices)

    def build(self) -> exports.ExportService:
        """Return cinder-volume's service."""
        self.journal = its_journal = self.journal_of(
            'cinder', f'run-{self.runs}')
        self.keys = chap.KeyRing.load_from(
            key_objects.KeyObjects(self.objects))
        return exports.ExportService(
            self.settings, its_journal, remote.RemoteTarget(
                its_journal, self.settings.portals_of, self.timeout_s),
            self.keys, self.target.name_prefix, self.devices, self.discover)

    def lose_kernel(self) -> None:
        """Let the host of the owner start anew."""
        self.owner.stop()
        super().lose_kernel()
        self.owner = Owner(self, self.owner.epoch + 1)
        self.owner.start()


class Owner:
    """Owns the target of a case.

    :param case: with the target.
    :param epoch: of its ownership.
    """

    def __init__(self, case: GatewayCase, epoch: int = 1) -> None:
        self.epoch = epoch
        self._journal = case.journal_of(f'gw{epoch}', 'run')
        self._iqn: model.Iqn = case.iqn
        images = MemoryImages(case.ceph, '192.0.2.1')
        case.ceph.blocklist.update(case.ceph.locks.values())
        images.connect()
        self._applier = applier.Applier(
            case.iqn, self._journal, case.target, images, kinds.Kinds(
                case.settings, self._journal, case.target,
                chap.KeyRing.load_from(key_objects.KeyObjects(case.objects))
            ).secrets, case.target.name_prefix)
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._apply, daemon=True)

    def start(self) -> None:
        """Apply everything, then go on in a thread."""
        self._applier.map_all()
        self._applier.apply_all(f'gw{self.epoch}', self.epoch)
        self._thread.start()

    def stop(self) -> None:
        """Fall silent."""
        self._end.set()
        self._thread.join(LONG_S)

    def _apply(self) -> None:
        with self._journal.listen(self._iqn) as bell:
            while not self._end.is_set():
                try:
                    self._applier.apply_changes(f'gw{self.epoch}', self.epoch)
                except exception.OwnerChanged:
                    return
                bell.wait(0.02)

# SPDX-License-Identifier: Apache-2.0
"""What an attach through gateways costs: with few exports and with many.

It is Cinder's side of an attach: ``create_export`` and
``initialize_connection``, and of a detach ``terminate_connection`` and
``remove_export``. The same is measured on files that this host exports itself.
"""

from concurrent import futures
import contextlib
import dataclasses
import os
from pathlib import Path
import statistics
import tempfile
import uuid

from mydriver import model
from mydriver.backend import devices
from mydriver.stores import names
from mydriver.stores.rbd import shared
from mydriver.stores.reflink import store as reflink
from mydriver.target import factory, lio, pool
from mydriver.target.gateways import applier, remote
from mydriver.target.journal.rados import journal
from tests.bench import report
from tests.functional import base, udev
from tests.functional.ceph import gateways

FEW, MANY = 10, int(os.environ.get('BENCH_EXPORTS', '500'))
#: How many attaches are measured, and the most that the median may grow.
ATTACHES = 15
BOUND = 1.5
AT_ONCE = 8
HOSTS = [model.Iqn(f'iqn.1993-08.org.debian:01:host{n}') for n in range(20)]

ATTACH = ('create_export', 'initialize_connection')
DETACH = ('terminate_connection', 'remove_export')


@dataclasses.dataclass
class Backend:
    """A backend whose attaches are measured.

    :param service: its exports.
    :param store: its volumes.
    """

    service: object
    store: object

    def volume(self):
        """Return the id of a new volume."""
        volume_id = str(uuid.uuid4())
        self.store.create(names.volume_name(volume_id), 64 * gateways.MIB)
        return volume_id

    def measure(self):
        """Attach and detach; return the durations, and the sums of both."""
        times = report.Times()
        for _ in range(ATTACHES):
            volume_id = self.volume()
            for both, calls in (('attach', ATTACH), ('detach', DETACH)):
                with times.measured(both):
                    for call in calls:
                        arguments = (volume_id, HOSTS[0])[
                            :2 if 'connection' in call else 1]
                        with times.measured(call):
                            getattr(self.service, call)(*arguments)
        return times


class AttachCase(gateways.GatewayCase):
    """One gateway, and volumes that are attached."""

    targets = 3

    def setUp(self):
        super().setUp()
        udev.use_our_rules(self)
        self.start()
        self.ceph_backend = Backend(self.service, self.store)
        self.attached = []

    def fill(self, count):
        """Have so many volumes attached, and udev done with them."""
        def attach(_):
            volume_id = self.ceph_backend.volume()
            host = HOSTS[len(self.attached) % len(HOSTS)]
            self.attached.append((volume_id, host))
            self.service.create_export(volume_id)
            self.service.initialize_connection(volume_id, host)

        def detach(_):
            volume_id, host = self.attached.pop()
            self.service.terminate_connection(volume_id, host)
            self.service.remove_export(volume_id)

        times = report.Times()
        more = count - len(self.attached)
        with (times.measured('fill'),
              futures.ThreadPoolExecutor(AT_ONCE) as threads):
            list(threads.map(attach if more > 0 else detach,
                             range(abs(more))))
        base.run('udevadm', 'settle', '--timeout=300', timeout_s=310)
        self.assertEqual(count, len(self.service.all()))
        print(f'{count} exports after {times.median("fill"):.1f} s',
              flush=True)


class Scale(AttachCase):
    """Many exports."""

    def test_many_exports(self):
        """The number of exports hardly matters.

        Few exports are measured before and after, since the load of the
        machine may change.
        """
        found = []
        for count in (FEW, MANY, FEW):
            self.fill(count)
            found.append(self.ceph_backend.measure())
        rows, ratios = [], {}
        for name in ('attach', *ATTACH, 'detach', *DETACH):
            few = statistics.median(found[0].of[name] + found[2].of[name])
            ratios[name] = found[1].median(name) / few
            rows.append((name, *(
                report.ms(value) for times in found
                for value in (times.median(name), max(times.of[name]))),
                f'{ratios[name]:.2f}'))
        report.table(
            f'Attach and detach through gateways, ms; {ATTACHES} of each',
            ('', *(text for count in (FEW, MANY, FEW) for text in (
                f'{count}: median', 'max')), 'ratio'), rows)
        self.assertLess(ratios['attach'], BOUND)
        self.assertLess(ratios['detach'], BOUND)


class Comparison(AttachCase):
    """The host of the gateway also exports files of its own."""

    def local(self):
        """Return a backend of files that this host exports."""
        folder = self.mount_xfs(Path(tempfile.mkdtemp(dir='/run')))
        text = self.conf_path.read_text()
        self.conf_path.write_text(text.replace(
            'enabled_backends = ceph', 'enabled_backends = ceph,files')
            + f'[files]\nvolume_driver = {gateways.ceph_store.grants.DRIVER}\n'
            f'mydriver_store = reflink\nmydriver_store_path = {folder}\n')
        store = reflink.ReflinkStore(str(folder))
        store.prepare()
        store.recover()
        service = factory.build(pool.Settings(
            'files', 'iqn.2010-10.org.openstack:', (
                model.Portal('127.0.0.1'),), False,
            tempfile.mkdtemp(dir='/run')), devices.StoreDevices(store))
        self.addCleanup(service._journal.close)
        service.check()
        service.reconciler.start()
        return Backend(service, store)

    def test_against_local_files(self):
        """Compare both, and show what the attach consists of."""
        self.fill(FEW)
        local = self.local()
        parts = report.Times()
        with contextlib.ExitStack() as stack:
            for owner, method, name in (
                    (devices.DistantDevices, 'bring_up',
                     'cinder: look at the image'),
                    (journal.RadosJournal, 'add_export',
                     'cinder: record the export'),
                    (remote.RemoteTarget, 'ensure_export',
                     'cinder: wait for the gateway to export'),
                    (journal.RadosJournal, 'add_mapping',
                     'cinder: record the mapping'),
                    (remote.RemoteTarget, 'ensure_mapping',
                     'cinder: wait for the gateway to map it to the host'),
                    (self.service, '_discover', 'cinder: discovery'),
                    (applier.Applier, 'apply_changes',
                     'gateway: apply changes'),
                    (shared.TargetImages, 'map', 'gateway: map the image'),
                    (lio.LioTarget, 'ensure_export', 'gateway: export'),
                    (lio.LioTarget, 'ensure_mapping',
                     'gateway: map to the host')):
                stack.enter_context(parts.calls_of(owner, method, name))
            of_gateways = self.ceph_backend.measure()
        of_files = local.measure()
        report.table(
            f'Attach and detach, ms; {ATTACHES} of each',
            ('', 'gateways: median', 'max', 'files: median', 'max', 'ratio'),
            [(name, *(report.ms(value) for times in (of_gateways, of_files)
                      for value in (times.median(name),
                                    max(times.of[name]))),
              f'{of_gateways.median(name) / of_files.median(name):.2f}')
             for name in ('attach', *ATTACH, 'detach', *DETACH)])
        report.table(
            'Parts of both through gateways, ms',
            ('', 'calls', 'median', 'sum of one attach and detach'),
            [(name, len(all_s), report.ms(parts.median(name)),
              report.ms(sum(all_s) / ATTACHES))
             for name, all_s in parts.of.items()])

# SPDX-License-Identifier: Apache-2.0
"""How long the takeover of a target with 100 volumes takes.

The owner is a process that is killed. What its kernel has is removed then, as
it is gone with a host. The time begins with the last renewal of its lease, as
late as it can be, and ends when the next gateway serves.
"""

from concurrent import futures
import os
import subprocess
import sys
import time
from unittest import mock
import uuid

from mydriver.privileged import krbd
from mydriver.target import configfs
from mydriver.target.gateways import hands, lease, ownership, steps
from mydriver.target.journal.rados import keys
from mydriver.waiting import wait_for
from tests.bench import report
from tests.functional import base, udev
from tests.functional.ceph import gateways

VOLUMES = int(os.environ.get('BENCH_VOLUMES', '100'))
#: Whose rules make udev's links to mapped images: ours, or any other word.
RULES = os.environ.get('BENCH_RULES', 'ours')
BOUND_S = 15.0
AT_ONCE = 8


class Takeover(gateways.GatewayCase):
    """Two gateways: one is lost, the other takes its target over."""

    def spawn(self, name):
        """Start a gateway in a process of its own; wait until it serves."""
        owner = subprocess.Popen([
            sys.executable, '-m', 'tests.bench.owner', self.conf_path, name,
            str(self.targets)])
        self.addCleanup(owner.wait)
        self.addCleanup(owner.kill)
        self.served(120)
        return owner

    def attach(self, volume_id):
        """Export a volume and map it."""
        self.service.create_export(volume_id)
        self.service.initialize_connection(volume_id, self.me)

    def lose(self, owner):
        """Kill an owner, and let the next gateway remove what it leaves.

        A host that is lost takes all of that with it.
        """
        owner.kill()
        owner.wait()
        self.registry().drain('gw2', True)
        self.start('gw2', serves=False)
        wait_for(lambda: not list(krbd.mappings()), 'a clean kernel', 120)
        base.run('udevadm', 'settle')

    def renew_once(self):
        """Renew the lease of the owner, as if in its last moment."""
        owned = ownership.RadosOwnership(
            self.connection, str(self.target), keys.namespace('ceph'))
        wait_for(lambda: owned.acquire(str(uuid.uuid4()),
                                       lease.Timing().duration_s),
                 'the lease to end', 30)

    def test_takeover(self):
        """Time it, step by step."""
        if RULES == 'ours':
            udev.use_our_rules(self)
        times = report.Times()
        with (times.measured('create volumes'),
              futures.ThreadPoolExecutor(AT_ONCE) as threads):
            volumes = list(threads.map(lambda _: self.volume(),
                                       range(VOLUMES)))
        with times.measured('start the owner'):
            owner = self.spawn('gw1')
        with (times.measured('attach'),
              futures.ThreadPoolExecutor(AT_ONCE) as threads):
            list(threads.map(self.attach, volumes))
        with times.measured('clean up'):
            self.lose(owner)
        report.table('Before the takeover', ('', 'seconds'), [
            (name, f'{times.median(name):.1f}') for name in times.of])
        inner = hands.Hands.perform

        def perform(its, state, step):
            with times.measured(step.kind):
                return inner(its, state, step)

        with mock.patch.object(hands.Hands, 'perform', perform):
            self.renew_once()
            began_s = time.monotonic()
            self.registry().drain('gw2', False)
            wait_for(lambda: [m for m in self.registry().all()
                              if m.name == 'gw2' and m.serves],
                     'a gateway that serves', 300)
            total_s = time.monotonic() - began_s
        rows = [(kind.value, f'{sum(times.of[kind]):.2f}', len(times.of[kind]))
                for kind in steps.PLAN.take_over if kind in times.of]
        rows.append(('total, with the wait for the lease', f'{total_s:.2f}',
                     ''))
        report.table(
            f'Takeover of {VOLUMES} volumes on one target; udev: {RULES}',
            ('step', 'seconds', 'times'), rows)
        seen = configfs.target(self.target)
        self.assertEqual(
            (True, set(volumes), VOLUMES),
            (seen.enabled, {e.serial for e in seen.exports},
             len(seen.mappings)))
        self.assertLess(total_s, BOUND_S)

# SPDX-License-Identifier: Apache-2.0
"""The steps of the verification, in order."""

from collections.abc import Callable

from lab.cloud import api
from lab.scenario import observe, report
from lab.scenario.expect import expect
from lab.scenarios.verify.bench import Bench
from lab.scenarios.verify.crashes import Crashes
from lab.scenarios.verify.insight import Insight
from lab.scenarios.verify.refusals import Refusals
from lab.scenarios.verify.secrets import Secrets
from lab.scenarios.verify.stranger import Stranger


class Story:
    """The steps.

    :param cloud: the cloud that is up.
    :param told: not used; other scenarios note timings in it.
    """

    def __init__(self, cloud: api.Cloud, told: report.Report) -> None:
        del told
        self._bench = Bench(cloud)
        self._stranger = Stranger(self._bench.look)
        self._refusals = Refusals(self._bench)
        self._insight = Insight(self._bench, self._refusals)
        self._secrets = Secrets(self._bench)
        self._crashes = Crashes(self._bench, self._stranger)

    def steps(self) -> list[tuple[str, Callable[[], str]]]:
        """Return the steps; each needs those before it."""
        return [
            ('An export made by hand beside ours', self.begin),
            ('A server and two volumes', self._bench.prepare),
            ('Trace an attach that cannot log in',
             self._insight.unreachable),
            ('Attach, every process watched', self._secrets.attach),
            ('A connector without initiator', self._refusals.no_iqn),
            ('A connector with a wrong initiator', self._refusals.wrong_iqn),
            ('A target that is stopped', self._refusals.stopped_target),
            ('A target without portals', self._refusals.no_portals),
            ('Trace an attach whose target is stopped',
             self._insight.refused),
            ('Top while the guest writes', self._insight.top),
            ('Secrets: where they are', self._secrets.search),
            ('Restart of cinder-volume beside a live attachment',
             self._crashes.restart),
            ('kill -9 of the privileged daemon in an attach',
             self._crashes.kill_daemon),
            ('kill -9 of cinder-volume and its daemon in an attach',
             self._crashes.kill_service),
            ('Attach again after that', self._crashes.attach_again),
            ('Reboot of the storage node under a live attachment',
             self._crashes.reboot),
        ]

    def last_steps(self) -> list[tuple[str, Callable[[], str]]]:
        """Return the steps that run in any case."""
        return [('Detach and delete', self._bench.clean_up),
                ('Nothing is left on both nodes', self.nothing_left),
                ('The export made by hand is untouched',
                 self._stranger.check_and_drop)]

    def begin(self) -> str:
        """Connect, make the export by hand, and note what there is."""
        self._bench.connect()
        proof = self._stranger.make()
        self._bench.before = self._bench.observer.look()
        return proof

    def nothing_left(self) -> str:
        """Check both nodes and the journal for leftovers."""
        left = self._bench.observer.exports()
        expect(not left, f'left in the journal: {left}')
        return '0 journal rows, ' + observe.nothing_left(
            self._bench.before, self._bench.observer.look())

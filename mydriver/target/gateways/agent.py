# SPDX-License-Identifier: Apache-2.0
"""A gateway's agent for one target: keeps the lease, takes the steps.

Three threads share its state. One takes the steps of :mod:`.takeover`, one
renews the lease, and one applies what changes in the journal: a kernel that
takes its time over one volume must cost neither the lease nor the addresses.
"""

from collections.abc import Callable
import threading

from oslo_log import log as logging

from mydriver import exception, model
from mydriver.target.gateways import hands, lease, record, takeover
from mydriver.target.gateways.steps import PLAN, Kind, Result, State
from mydriver.target.journal import shared

LOG = logging.getLogger(__name__)

#: Pauses, seconds: between two attempts to get the lease, between two
#: attempts of a step that failed, and between two looks at the journal when
#: no signal comes.
ATTEMPT_S = 0.25
RETRY_S = 0.5
LOOK_S = 2.0

#: After several takeovers that failed one after the other, the next one waits
#: so long, seconds: another gateway may be able to.
FAILED_S = (0.0, 0.0, 1.0, 5.0)

#: How long a single step may take before another gateway shall have the
#: target, seconds.
PATIENCE_S = 60.0

_TAKE_OVER = frozenset(PLAN.take_over)


class Agent:
    """The agent of one target.

    :param target: its name.
    :param gateway: name of this gateway.
    :param run: unique name of this run of the process.
    :param its_hands: carry out the steps.
    :param ownership: the lease, for its renewal.
    :param timing: of the lease.
    :param journal: tells when it has changed.
    """

    def __init__(self, target: model.Iqn, gateway: str, run: str,
                 its_hands: hands.Hands, ownership: lease.Ownership,
                 timing: lease.Timing, journal: shared.SharedJournal) -> None:
        self.target = target
        self._hands = its_hands
        self._ownership = ownership
        self._timing = timing
        self._journal = journal
        self._state = takeover.start(gateway, run)
        self._lock = threading.Lock()
        self._wake = threading.Event()
        self._end = threading.Event()
        self._is_wanted = False
        self._is_fenced = False
        self._failures = 0
        self._not_before_s = 0.0
        self._threads: list[threading.Thread] = []

    # -- control

    def start(self) -> None:
        """Start the threads; what an earlier run left is removed first."""
        for work in (self._take_steps, self._renew, self._apply):
            thread = threading.Thread(
                target=self._guarded, args=(work,), daemon=True,
                name=f'{work.__name__[1:]} {self.target}')
            thread.start()
            self._threads.append(thread)

    def want(self, is_wanted: bool) -> None:
        """Say whether this gateway shall serve the target.

        When it serves it and shall not any more, it lets go in order.
        """
        if is_wanted != self._is_wanted:
            self._is_wanted = is_wanted
            self._wake.set()

    def fenced(self) -> None:
        """Say that the agent's client is in the blocklist."""
        self._is_fenced = True
        self._wake.set()

    def seen(self) -> State:
        """Return what the agent is doing."""
        with self._lock:
            return self._state

    def client(self) -> record.Client | None:
        """Return the client that the agent maps with, None if it has none."""
        return self.seen().client

    def stop(self, timeout_s: float) -> bool:
        """Let go of the target and end the threads.

        :param timeout_s: how long that may take.
        :returns: whether nothing of the target is left on this host.
        """
        self.want(False)
        deadline = lease.now_s() + timeout_s
        while lease.now_s() < deadline:
            if self.seen().doing is Kind.STAND_BY:
                break
            self._end.wait(0.05)
        is_clean = self.seen().doing is Kind.STAND_BY
        self._end.set()
        self._wake.set()
        for thread in self._threads:
            thread.join(max(0.1, deadline - lease.now_s()))
        return is_clean

    # -- threads

    def _guarded(self, work: Callable[[], None]) -> None:
        """Run a thread's work; nothing that it raises may end the thread."""
        while not self._end.is_set():
            try:
                work()
            except Exception:
                LOG.exception('Target %s: %s failed', self.target,
                              work.__name__)
            self._end.wait(RETRY_S)

    def _take_steps(self) -> None:
        while not self._end.is_set():
            pause_s = self._take_step()
            if pause_s:
                self._wake.wait(pause_s)
                self._wake.clear()

    def _take_step(self) -> float:
        """Take one step; return the pause after it, seconds."""
        with self._lock:
            before = self._state
            now_s = lease.now_s()
            may_try = (before.term is not None
                       or now_s >= self._not_before_s)
            state = takeover.decide(before, now_s, self._is_wanted and may_try,
                                    self._is_fenced)
            if state.doing is not before.doing:
                self._log(before, state)
            self._state = state
            step = takeover.step(state)
        if step.kind is Kind.STAND_BY:
            return ATTEMPT_S
        if step.kind is Kind.SERVE:
            return self._timing.renew_s / 2
        sent_s = lease.now_s()
        outcome = self._hands.perform(state, step)
        with self._lock:
            # Meanwhile, the other thread has changed the lease at most.
            before = self._state
            self._state = takeover.after(
                before, outcome, lease.now_s(), sent_s, self._timing)
            self._log(before, self._state)
            if self._state.doing is Kind.STAND_BY:
                self._is_fenced = False
            self._count(step.kind, outcome.result)
        if outcome.result is Result.FAILED:
            LOG.warning('Target %s: cannot %s: %s', self.target,
                        step.kind.value, outcome.reason)
            return RETRY_S
        return ATTEMPT_S if outcome.result is Result.REFUSED else 0.0

    def _count(self, kind: Kind, result: Result) -> None:
        """Count takeovers that failed since one has succeeded."""
        if self._state.is_serving:
            self._failures = 0
        elif result is Result.FAILED and kind in _TAKE_OVER:
            self._failures += 1
            self._not_before_s = lease.now_s() + FAILED_S[
                min(self._failures, len(FAILED_S)) - 1]

    def _renew(self) -> None:
        while not self._end.wait(self._timing.renew_s):
            state = self.seen()
            if not takeover.wants_renewal(state, lease.now_s(), PATIENCE_S):
                continue
            cookie, sent_s = state.cookie, lease.now_s()
            try:
                is_ours = self._ownership.renew(cookie,
                                                self._timing.duration_s)
            except exception.MyDriverError as e:
                LOG.warning('Target %s: the lease could not be renewed: %s',
                            self.target, e)
                continue
            with self._lock:
                self._state = (
                    takeover.renewed(self._state, cookie, sent_s,
                                     self._timing) if is_ours
                    else takeover.lost(self._state, cookie))
            self._wake.set()

    def _apply(self) -> None:
        with self._journal.listen(self.target) as bell:
            while not self._end.is_set():
                state = self.seen()
                if not self._may_apply(state):
                    self._end.wait(ATTEMPT_S)
                    continue
                if self._apply_changes(state):
                    bell.wait(LOOK_S)

    def _apply_changes(self, state: State) -> bool:
        """Apply changes; return whether that is all for now."""
        try:
            return not self._hands.apply_changes(state)
        except exception.OwnerChanged as e:
            LOG.error('Target %s: %s', self.target, e)
            with self._lock:
                self._state = takeover.lost(self._state, state.cookie)
            self._wake.set()
        except exception.MyDriverError as e:
            LOG.error('Target %s: changes cannot be applied: %s',
                      self.target, e)
            self._end.wait(RETRY_S)
        return True

    # -- inside

    @staticmethod
    def _may_apply(state: State) -> bool:
        return (state.is_serving and state.term is not None
                and lease.now_s() < state.term.valid_until_s)

    def _log(self, before: State, state: State) -> None:
        if state.is_serving and not before.is_serving:
            LOG.info('Target %s is served by this gateway, epoch %d',
                     self.target, state.epoch)
        elif before.is_serving and not state.is_serving:
            LOG.warning('Target %s is let go: %s', self.target, state.reason)
        elif before.doing is not state.doing and state.doing not in (
                Kind.STAND_BY, Kind.ACQUIRE, Kind.SERVE,
                Kind.EXTEND_ADDRESS):
            LOG.info('Target %s: %s', self.target, state.doing.value)

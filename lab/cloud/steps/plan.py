# SPDX-License-Identifier: Apache-2.0
"""Run steps in parallel, each as soon as those that it needs are done."""

from collections.abc import Callable, Iterable
from concurrent import futures
import dataclasses
import threading
import time

from lab.cloud import errors

Report = Callable[[float, str, float], None]
Run = Callable[[], object]


@dataclasses.dataclass(frozen=True, slots=True)
class Step:
    """A step.

    :param name: also in the output.
    :param run: does it, and returns when it is done.
    :param needs: names of the steps that must be done before.
    """

    name: str
    run: Run
    needs: tuple[str, ...] = ()


class Plan:
    """Steps and their order.

    :param report: called at the end of each step with the seconds since
        :meth:`run`, the step's name and its duration in seconds.
    :param done: names of steps that were done elsewhere.
    """

    def __init__(self, report: Report, done: Iterable[str] = ()) -> None:
        self.abort = threading.Event()
        self._report = report
        self._steps: dict[str, Step] = {}
        self._done = set(done)

    def add(self, name: str, run: Run,
            needs: Iterable[str] = ()) -> str:
        """Add a step.

        :param needs: names that were added before; so there is no cycle.
        :returns: its name.
        :raises ValueError: when a need is unknown or the name is in use.
        """
        needs = tuple(needs)
        unknown = [n for n in needs
                   if n not in self._steps and n not in self._done]
        if unknown or name in self._steps:
            raise ValueError(f'{name}: unknown {unknown} or added twice')
        self._steps[name] = Step(name, run, needs)
        return name

    def run(self) -> None:
        """Run all steps.

        :raises BaseException: the first one that a step raised. The other
            steps are stopped by :attr:`abort` and have ended by then.
        """
        start = time.monotonic()
        done = set(self._done)
        todo = dict(self._steps)
        with futures.ThreadPoolExecutor(max(1, len(todo))) as pool:
            running: dict[futures.Future[float], str] = {}
            failed: BaseException | None = None
            while (todo and failed is None) or running:
                if failed is None:
                    for name in [n for n, s in todo.items()
                                 if done.issuperset(s.needs)]:
                        step = todo.pop(name)
                        running[pool.submit(_timed, step)] = name
                try:
                    ended, _ = futures.wait(
                        running, return_when=futures.FIRST_COMPLETED)
                except BaseException:   # such as KeyboardInterrupt
                    self.abort.set()
                    raise
                for future in ended:
                    name = running.pop(future)
                    error = future.exception()
                    if error is None:
                        done.add(name)
                        self._report(time.monotonic() - start, name,
                                     future.result())
                    elif failed is None or isinstance(failed, errors.Aborted):
                        failed = error
                        self.abort.set()
        if failed is not None:
            raise failed


def _timed(step: Step) -> float:
    """Run a step and return its duration in seconds."""
    start = time.monotonic()
    step.run()
    return time.monotonic() - start

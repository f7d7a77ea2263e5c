# SPDX-License-Identifier: Apache-2.0
"""Bring the cloud up, run the tests, check what they have left."""

import dataclasses
from pathlib import Path
import re
import time

from lab import paths
from lab.cloud import api, driver, settings
from lab.cloud import site as cloud_site
from lab.scenario import observe, runner
from lab.tempest import results, run, skips, suites, verdict

WORKSPACE = paths.STATE / 'tempest'

#: Time for the nodes to settle, seconds: deletions of the last tests may still
#: be in progress.
_REST_S = 60

#: An error line of a service's log; each line of a traceback is one.
_ERROR = re.compile(r'^\S+ \S+ \d+ (ERROR|CRITICAL) (\S+)')


@dataclasses.dataclass(frozen=True)
class Order:
    """What to run.

    :param store: of our driver's backends.
    :param regex: pattern of test names; None for all suites.
    :param concurrency: number of parallel tests.
    :param timeout_s: for all tests together, seconds.
    :param keep: leave the cloud up.
    """

    store: str
    regex: str | None
    concurrency: int
    timeout_s: float
    keep: bool


def play(order: Order) -> verdict.Verdict:
    """Run tempest as ordered."""
    wanted = settings.Options(store=order.store).full()
    lease = runner.Lease({'backends': wanted.backends,
                          'backup': wanted.backup, 'store': wanted.store},
                         order.keep)
    try:
        lease.take()
        return _test(order, cloud_site.load(settings.Layout()))
    finally:
        if lease.ends:
            lease.release()


def _test(order: Order, site: cloud_site.Site) -> verdict.Verdict:
    """Run the tests on the cloud that is up, then check the nodes."""
    workspace = run.Workspace(WORKSPACE)
    workspace.prepare(site)
    listed = workspace.find(order.regex or suites.regex())
    known = skips.Skips.load(order.store)
    chosen = [t for t in listed
              if not known.excluded(results.name_of(t))]
    print(f'{len(listed)} tests, {len(listed) - len(chosen)} of them '
          f'excluded; {order.concurrency} in parallel', flush=True)
    found = results.Results(chosen, run.Progress(len(chosen)))
    watch = Watch(api.Cloud(), site.layout)
    start = time.monotonic()
    workspace.run(chosen, order.concurrency, order.timeout_s, found)
    seconds = time.monotonic() - start
    tests = [*found.all(), *(
        results.Result(name, results.SKIPPED, 0, 'excluded')
        for name in map(results.name_of, listed)
        if known.excluded(name))]
    return verdict.Verdict(
        tests, known.account(r for r in tests
                             if r.status == results.SKIPPED),
        seconds, whole=order.regex is None, left=watch.complaints())


class Watch:
    """Remembers the state of nodes and logs, and finds what was added.

    :param cloud: the cloud that is up.
    :param layout: has its logs.
    """

    def __init__(self, cloud: api.Cloud, layout: settings.Layout) -> None:
        self._observer = observe.Observer(cloud)
        self._before = self._observer.look()
        self._logs = {layout.log(name): layout.log(name).stat().st_size
                      for name in ('cinder-volume', 'nova-compute')}

    def complaints(self) -> list[str]:
        """Return what the tests left on the nodes, and our errors."""
        return self._left() + [
            line for path, offset in self._logs.items()
            for line in errors_of_ours(path, offset)]

    def _left(self) -> list[str]:
        deadline = time.monotonic() + _REST_S
        let_go = {name for path, offset in self._logs.items()
                  for name in unmanaged(path, offset)}
        while True:
            found = observe.left_over(self._before, self._observer.look())
            found['backing files'] = {
                path for path in found['backing files']
                if not path.endswith(tuple(
                    f'/{name}' for name in let_go))}
            left = {kind: sorted(what) for kind, what in found.items()
                    if what}
            if not left or time.monotonic() > deadline:
                return [f'left over, {kind}: {", ".join(what)}'
                        for kind, what in left.items()]
            time.sleep(3)


def unmanaged(log: Path, offset: int = 0) -> set[str]:
    """Return what was left in the store unmanaged, from a service's log.

    Cinder will not delete it. The plugin's tests of who may manage snapshots
    leave some, and delete their volumes, whose images stay in Ceph's trash as
    long as the snapshots do.

    :param offset: where to start reading, bytes.
    :returns: ends of the paths of backings.
    """
    found = set()
    for volume_id, name in driver.UNMANAGED.findall(_read(log, offset)):
        found |= {name, f'_{name}'}
        if volume_id:
            found.add(f'trash/volume-{volume_id}')
    return found


def errors_of_ours(log: Path, offset: int = 0) -> list[str]:
    """Return the errors of our driver in a service's log.

    An error that another module has logged is ours if its traceback ends in
    our code.

    :param offset: where to start reading, bytes.
    """
    found = []
    lines = _read(log, offset).splitlines()
    for number, line in enumerate(lines):
        match = _ERROR.match(line)
        if match and (driver.is_logger(match[2])
                      or _last_frame_is_ours(lines, number)):
            found.append(f'{log.name}: {line[:300]}')
    return found


def _read(log: Path, offset: int) -> str:
    with log.open('rb') as f:
        f.seek(offset)
        return f.read().decode(errors='replace')


def _last_frame_is_ours(lines: list[str], number: int) -> bool:
    """Tell whether a line is a traceback's last frame, and in our code."""
    return (f'File "{driver.CODE}/' in lines[number]
            and not any('File "' in line for line in _rest(lines, number)))


def _rest(lines: list[str], number: int) -> list[str]:
    """Return the lines of the same traceback that follow a line."""
    rest = []
    for line in lines[number + 1:number + 40]:
        match = _ERROR.match(line)
        if match is None or 'Traceback' in line:
            break
        rest.append(line)
    return rest

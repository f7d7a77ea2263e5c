# SPDX-License-Identifier: Apache-2.0
"""Ways to lose a gateway, and how it comes back."""

from collections.abc import Callable, Sequence
import dataclasses
import itertools
import time

from lab import errors
from lab.cloud import api, driver, network
from lab.cloud.config import gateway
from lab.scenario.expect import expect

#: For how long a stalled kernel stands still, seconds.
STALL_S = 20.0

#: SIGKILL for the daemon alone: its privileged daemon lives on for a moment.
_KILL_DAEMON = 'kill -KILL "$(cat /run/mydriver-gateway.pid)"'

Act = Callable[[api.Cloud, str], None]


@dataclasses.dataclass(frozen=True)
class Case:
    """A way to lose a gateway.

    :param name: for the command line.
    :param text: for people.
    :param lose: takes a gateway of a cloud away.
    :param back: brings it back.
    :param is_planned: the gateway hands its targets over.
    """

    name: str
    text: str
    lose: Act
    back: Act
    is_planned: bool = False


def drain(cloud: api.Cloud, name: str, *options: str) -> None:
    """Let a gateway hand its targets over, or serve again.

    :param options: such as ``--undo``.
    :raises NotProven: when the command fails.
    """
    status, output = cloud.node_exec(name, [
        driver.PROGRAM, 'gateway', 'drain', '--config-file',
        gateway.ROOTS_CONF, '--name', name, *options])
    expect(status == 0, f'gateway drain: status {status}: {output}')


def _kill_daemon(cloud: api.Cloud, name: str) -> None:
    status, output = cloud.node_exec(name, ['sh', '-c', _KILL_DAEMON])
    expect(status == 0, f'the daemon of {name} is not killed: {output}')


def _power_cycle(cloud: api.Cloud, name: str) -> None:
    cloud.kill(name)
    cloud.boot(name)


def _nothing(cloud: api.Cloud, name: str) -> None:
    del cloud, name


CASES = (
    Case('power', 'power lost', api.Cloud.kill, api.Cloud.boot),
    Case('clients', 'cut off from clients',
         lambda cloud, name: cloud.cut(name, network.CLIENTS),
         api.Cloud.join),
    Case('ceph', 'cut off from Ceph alone',
         lambda cloud, name: cloud.cut(name, network.CEPH), api.Cloud.join),
    Case('cut', 'cut off from both', api.Cloud.cut, api.Cloud.join),
    Case('stall', f'stalled for {STALL_S:.0f} s', api.Cloud.stall,
         api.Cloud.resume),
    Case('daemon', 'kill -9 of the daemon alone', _kill_daemon,
         lambda cloud, name: cloud.node_service(name, 'restart')),
    Case('reboot', 'power lost, boots at once', _power_cycle, _nothing),
    Case('drain', 'drained as planned', drain,
         lambda cloud, name: drain(cloud, name, '--undo'), is_planned=True),
)


def chosen(names: Sequence[str] | None, runs: int | None) -> list[Case]:
    """Return the cases to run.

    :param names: those that were asked for, None for all.
    :param runs: how many, in turn; None for each once.
    :raises LabError: when there is no such case.
    """
    known = {case.name: case for case in CASES}
    for name in names or ():
        if name not in known:
            raise errors.LabError(
                f'no case {name!r}; there are {", ".join(known)}')
    wanted = [known[name] for name in names] if names else list(CASES)
    return list(itertools.islice(itertools.cycle(wanted),
                                 len(wanted) if runs is None else runs))


def wait_out(case: Case, began_s: float) -> None:
    """Wait until the gateway of a case may come back.

    :param began_s: when it was lost, by the monotonic clock.
    """
    if case.name == 'stall':
        time.sleep(max(0.0, began_s + STALL_S - time.monotonic()))

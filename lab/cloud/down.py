# SPDX-License-Identifier: Apache-2.0
"""End what ``up`` started, and nothing else."""

from collections.abc import Iterator
import contextlib
import fcntl
import shutil

from lab.cloud import errors, network, settings
from lab.cloud.steps import registry, report
from lab.cloud.steps.registry import Registry


@contextlib.contextmanager
def exclusively(layout: settings.Layout) -> Iterator[None]:
    """Hold the lock under which the cloud is changed.

    :raises CloudError: when another command holds it.
    """
    layout.state.mkdir(parents=True, exist_ok=True)
    layout.state.chmod(0o700)   # passwords, and tokens in the logs
    with layout.lock.open('w') as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise errors.CloudError(
                'another command is bringing this cloud up or down; '
                'wait for it') from None
        yield


def down(layout: settings.Layout) -> None:
    """End the cloud. Logs and the seeded copy stay."""
    with exclusively(layout):
        if not leftovers(layout):
            report.say('The cloud is down already.')
            return
        end(layout)
    report.say('Down.')


def leftovers(layout: settings.Layout) -> bool:
    """Tell whether there is anything to end."""
    noted = Registry(layout.pids, layout.logs).all()
    return bool(noted) or network.exists()


def end(layout: settings.Layout) -> None:
    """End every process that was started, then the namespace.

    At once, by SIGKILL: what they had is not needed any more.

    :raises DeadlinePassed: when one does not go.
    """
    Registry(layout.pids, layout.logs).end()
    # One that left its session is still in the namespace, with our marker.
    for pid in registry.marked(network.pids()):
        registry.kill(pid)
    network.delete()
    for folder in (layout.run, layout.disks, layout.pids):
        shutil.rmtree(folder, ignore_errors=True)
    layout.status.unlink(missing_ok=True)


def clean(layout: settings.Layout) -> None:
    """Make room for a new run: what an earlier one left, its logs as well."""
    end(layout)
    shutil.rmtree(layout.logs, ignore_errors=True)

# SPDX-License-Identifier: Apache-2.0
"""Stop what ``up`` started, and nothing else."""

from collections.abc import Iterator
import contextlib
import fcntl
import shutil

from lab.cloud import errors, network, settings
from lab.cloud.steps import registry, report
from lab.cloud.steps.registry import Registry


@contextlib.contextmanager
def exclusively(layout: settings.Layout) -> Iterator[None]:
    """Hold the lock for changes to the cloud.

    :raises CloudError: when another command holds it.
    """
    layout.state.mkdir(parents=True, exist_ok=True)
    layout.state.chmod(0o700)   # it has passwords, and logs with tokens
    with layout.lock.open('w') as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise errors.CloudError(
                'another command is bringing this cloud up or down: wait '
                'until it has finished') from None
        yield


def down(layout: settings.Layout) -> None:
    """Stop the cloud. Logs and the seeded copy are kept."""
    with exclusively(layout):
        if not leftovers(layout):
            report.say('The cloud is down already.')
            return
        end(layout)
    report.say('Down.')


def leftovers(layout: settings.Layout) -> bool:
    """Tell whether there is anything to stop."""
    noted = Registry(layout.pids, layout.logs).all()
    return bool(noted) or network.exists()


def end(layout: settings.Layout) -> None:
    """Kill every process that was started, then remove the namespace.

    SIGKILL at once: their data is no longer needed.

    :raises DeadlinePassed: when a process survives.
    """
    Registry(layout.pids, layout.logs).end()
    # A process that left its session is still in the namespace, marked.
    for pid in registry.marked(network.pids()):
        registry.kill(pid)
    network.delete()
    for folder in (layout.run, layout.disks, layout.pids):
        shutil.rmtree(folder, ignore_errors=True)
    layout.status.unlink(missing_ok=True)


def clean(layout: settings.Layout) -> None:
    """Remove what an earlier run left, including its logs."""
    end(layout)
    shutil.rmtree(layout.logs, ignore_errors=True)

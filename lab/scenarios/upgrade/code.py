# SPDX-License-Identifier: Apache-2.0
"""Which code the services and their privileged daemons run."""

import json
from pathlib import Path
import re

from lab import paths
from lab.cloud import api, driver
from lab.scenario import observe
from lab.scenario.expect import expect
from lab.scenarios.upgrade.source import Source

_RUNNING = Path(__file__).with_name('running.py')

#: Node -> its service, the pattern of its processes, that of its daemon.
NODES = {
    'storage': ('cinder-volume', r'/cinder-volume ', driver.TARGET_DAEMON),
    'compute': ('nova-compute', r'/nova-compute ', driver.INITIATOR_DAEMON),
}

#: The logger of a log line.
_LOGGER = re.compile(r'^\S+ \S+ \d+ [A-Z]+ (\S+) ', re.MULTILINE)


class Checker:
    """Compares what runs with what must run.

    :param cloud: the cloud that is up.
    :param observer: runs commands on its nodes.
    """

    def __init__(self, cloud: api.Cloud, observer: observe.Observer) -> None:
        self._cloud = cloud
        self._observer = observer

    def log_size(self, node: str) -> int:
        """Return the size of a service's log, bytes."""
        return self._cloud.log(NODES[node][0]).stat().st_size

    def service(self, node: str, source: Source, log_offset: int = 0) -> str:
        """Check a node's service, and its daemon if one is there.

        :param node: ``storage`` or ``compute``.
        :param source: the code that must run.
        :param log_offset: where the service's log begins that this code
            wrote, bytes.
        :returns: the proof.
        :raises NotProven: when other code runs.
        """
        name, pattern, daemon = NODES[node]
        found = self._running(node, pattern, daemon)
        expect(found[pattern], f'{name} is not running')
        self._check(node, found, source)
        with self._cloud.log(name).open('rb') as f:
            f.seek(log_offset)
            logged = loggers(f.read().decode(errors='replace'))
        missing = {n for n in logged if not has_module(source.folder, n)}
        expect(not missing, f'the log of {name} has lines of {missing}, which '
               f'{source.folder} does not have')
        return (f'{len(found[pattern])} {name} and {len(found[daemon])} '
                f'privileged processes have {_short(source.folder)}, '
                f'{len(logged)} of its modules logged')

    def daemons(self, source: Source) -> str:
        """Check that both privileged daemons are there and which code runs.

        :raises NotProven: when one is missing, or runs other code.
        """
        proofs = []
        for node, (name, _, daemon) in NODES.items():
            found = self._running(node, daemon)
            expect(found[daemon], f'{name} has no privileged daemon')
            self._check(node, found, source)
            proofs.append(f'{name}: pid {", ".join(found[daemon])}')
        return f'{"; ".join(proofs)}; {_short(source.folder)}'

    def _running(self, node: str, *patterns: str) -> dict[str, dict[str, str]]:
        found: dict[str, dict[str, str]] = json.loads(self._observer.run(
            node, 'python3', '-I', '-S', str(_RUNNING), driver.PACKAGE,
            *patterns))
        return found

    @staticmethod
    def _check(node: str, found: dict[str, dict[str, str]],
               source: Source) -> None:
        wrong = {f'{pattern} {pid}': folder
                 for pattern, pids in found.items()
                 for pid, folder in pids.items()
                 if folder != str(source.folder)}
        expect(not wrong, f'{node} does not run {source.folder}: {wrong}')


def loggers(text: str) -> set[str]:
    """Return the driver's loggers in a log."""
    return {name for name in _LOGGER.findall(text) if driver.is_logger(name)}


def has_module(folder: Path, name: str) -> bool:
    """Tell whether a directory has a module."""
    path = folder.joinpath(*name.split('.'))
    return path.with_suffix('.py').is_file() or path.is_dir()


def _short(folder: Path) -> str:
    """Return a directory relative to the clone."""
    return str(folder.relative_to(paths.ROOT)) if folder != paths.ROOT \
        else 'the working tree'

# SPDX-License-Identifier: Apache-2.0
"""The kernel nodes and the services that run on them."""

import dataclasses
import json
from pathlib import Path
import shlex
import subprocess
import time

from lab import errors as lab_errors
from lab import process
from lab.cloud import driver, errors, network, settings
from lab.cloud.config import cinder as cinder_conf
from lab.cloud.config import gateway as gateway_conf
from lab.cloud.config import glance as glance_conf
from lab.cloud.control import ceph, services
from lab.cloud.node import kinds
from lab.cloud.site import Site
from lab.cloud.steps import report
from lab.cloud.steps.registry import Registry
from lab.kernel import mailbox, node

_SHELL = Path(__file__).parent

_GIB = 1 << 30


#: Optional services of node ``storage``.
BACKUP = 'cinder-backup'
GLANCE = 'glance'

#: Memory for these, MiB. With cinder-backup there is a second backend, too.
_MORE_MIB = {BACKUP: 1536, GLANCE: 512}


def _format(path: Path, size_gib: int) -> None:
    """Make a sparse disk with an XFS, unless it exists.

    The host does it, since a node's disks are slow: writing the file system's
    log would take half a minute.
    """
    if path.exists():
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    scratch = path.with_suffix('.new')
    with scratch.open('wb') as f:
        f.truncate(size_gib * _GIB)
    made = subprocess.run(
        ['mkfs.xfs', '-q', '-f', '-m', 'reflink=1', '-l', 'size=64m',
         str(scratch)], check=False, capture_output=True, text=True)
    if made.returncode:
        raise errors.CloudError(f'mkfs.xfs failed: {made.stderr}')
    scratch.rename(path)


class Node:
    """A node of the cloud.

    :param site: the cloud.
    :param registry: records the processes.
    :param name: of the node.
    :raises CloudError: when the cloud has no such node.
    """

    def __init__(self, site: Site, registry: Registry,
                 name: str) -> None:
        self._site = site
        self._registry = registry
        self._kind = kinds.of(name, site.options)
        wanted = {GLANCE: site.options.images == name,
                  BACKUP: name == 'storage' and site.options.backup}
        self._extra = tuple(n for n, has in wanted.items() if has)
        self.name = name
        self._box = site.layout.run / 'box' / name

    def boot(self) -> None:
        """Start it; it keeps existing disks."""
        mailbox.Mailbox.reset(self._box)
        layout = self._site.layout
        disks = self.disks_gib()
        _format(layout.disks / self.name / 'ubda', disks[0])
        more = sum(_MORE_MIB[n] for n in self._extra)
        spec = node.NodeSpec(
            self.name, self._kind.memory_mib + more,
            disks=tuple(size * _GIB for size in disks),
            taps=network.taps(self.name, self._site.options),
            shares=(layout.logs, self._box),
            init=_SHELL / f'{self._kind.payload}.sh', environ=self.environ())
        started = node.start(
            spec, layout.disks / self.name,
            log=layout.log(f'console-{self.name}'), keep_disks=True)
        self._registry.note(dataclasses.replace(started, name=self.note))

    def disks_gib(self) -> tuple[int, ...]:
        """Return the sizes of its disks; each volume group has one."""
        options = self._site.options
        if self._kind.disk_gib:
            return (self._kind.disk_gib,)
        return (options.storage_gib,) * (1 + len(options.volume_groups))

    @property
    def note(self) -> str:
        """The name under which its process is recorded."""
        return f'node-{self.name}'

    def process(self) -> process.Process:
        """Return its process.

        :raises CloudError: when it is not running.
        """
        found = self._registry.get(self.note)
        if found is None or not found.alive():
            raise errors.CloudError(
                f'node {self.name} is down; "python -m lab cloud boot '
                f'{self.name}" starts it')
        return found

    def runs(self) -> bool:
        """Tell whether it is running, or stalled."""
        found = self._registry.get(self.note)
        return found is not None and found.alive()

    def kill(self) -> None:
        """Cut its power."""
        self._registry.end([self.note])

    def shut_down(self) -> None:
        """Shut it down and power it off; no error if it is off.

        The power of a node that does not answer is cut.
        """
        found = self._registry.get(self.note)
        if found and found.alive():
            box = mailbox.Mailbox(self._box, found)
            try:
                box.wait_ready(60)
                for service in self._services:
                    box.run([str(_SHELL / 'service'), service, 'stop'],
                            timeout_s=60)
                box.run(['sync'], timeout_s=30)
            except lab_errors.LabError as e:
                report.say(f'{self.name} did not shut down: {e}')
        self.kill()

    def mailbox(self) -> mailbox.Mailbox:
        """Return its mailbox, which runs commands on it."""
        return mailbox.Mailbox(self._box, self.process())

    def wait_booted(self, timeout_s: float) -> None:
        """Wait until it accepts commands."""
        self.mailbox().wait_ready(timeout_s)

    def service(self, action: str, code: str | None = None) -> None:
        """Start, stop, kill or restart its OpenStack services.

        :param code: directory that has the driver's package, empty for the
            clone's own; None for the one that the node was booted with.
        :raises LabError: when that fails, for example because a service that
            is to start is running.
        """
        if action == 'restart':
            # While the old process stops, it may report itself up once more.
            self.service('stop')
            self.service('start', code)
            return
        box = self.mailbox()
        if action == 'start':
            self._note_start()
        for service in self._services:
            box.check([str(_SHELL / 'service'), service, action,
                       *([] if code is None else [code])])

    @property
    def _services(self) -> tuple[str, ...]:
        return (*self._extra, self._kind.service)

    def _note_start(self) -> None:
        """Record when the service is started, and its log's size then."""
        log = self._log
        self._start_note.write_text(json.dumps({
            'since': time.time(),
            'offset': log.stat().st_size if log.exists() else 0}))

    @property
    def _log(self) -> Path:
        return self._site.layout.log(kinds.log_of(self.name))

    @property
    def _start_note(self) -> Path:
        return self._site.layout.run / f'{kinds.log_of(self.name)}.start'

    def started_at(self) -> float:
        """Return when its service was started, seconds since the epoch."""
        return float(json.loads(self._start_note.read_text())['since'])

    def log_since_start(self) -> str:
        """Return its service's log since the last start."""
        offset = int(json.loads(self._start_note.read_text())['offset'])
        with self._log.open('rb') as f:
            f.seek(offset)
            return f.read().decode(errors='replace')

    def _restores(self) -> bool:
        """Tell whether our driver's exports are restored at boot."""
        options = self._site.options
        return (self.name == 'storage' and not options.gateways
                and driver.BACKEND in options.backends)

    def environ(self) -> dict[str, str]:
        """Return the payload's environment; it has no secrets."""
        hosts = [settings.CONTROL, 'control']
        options = self._site.options
        for other in options.nodes:
            hosts += [settings.address(other), other]
        glance = services.glance(self._site)
        return {
            'CLOUD_GLANCE': shlex.join(
                ['env', *(f'{k}={v}' for k, v in glance.env.items()),
                 *glance.argv]) if GLANCE in self._extra else '',
            'CLOUD_GLANCE_ADDRESS': settings.GLANCE,
            'CLOUD_IMAGES': str(glance_conf.images(self._site)),
            'CLOUD_SHELL': str(_SHELL),
            'CLOUD_CODE': options.code,
            'CLOUD_ADDRESS': settings.address(self.name),
            'CLOUD_ADDRESS2': settings.address(self.name, 1),
            'CLOUD_HOSTS': ' '.join(hosts),
            'CLOUD_INITIATOR': kinds.INITIATORS[self.name],
            'CLOUD_PORTALS': str(options.portals),
            'CLOUD_CINDER_MODE': options.cinder_mode,
            'CLOUD_VOLUME_GROUPS': ' '.join(options.volume_groups),
            'CLOUD_COMPUTE_ID': settings.COMPUTE_ID,
            'CLOUD_HOST_UUID': settings.HOST_UUID,
            'CLOUD_ETC': str(self._site.layout.etc),
            'CLOUD_CINDER': str(self._site.layout.conf(
                'cinder', cinder_conf.volume_conf(self.name))),
            'CLOUD_GATEWAY': shlex.join(driver.gateway(
                gateway_conf.ROOTS_CONF)),
            'CLOUD_GATEWAY_CONF': str(gateway_conf.path(
                self._site, self.name)),
            'CLOUD_GATEWAY_ROOTS_CONF': gateway_conf.ROOTS_CONF,
            'CLOUD_LOG': kinds.log_of(self.name),
            'CLOUD_LOGS': str(self._site.layout.logs),
            'CLOUD_MAILBOX': str(self._box),
            'CLOUD_CEPH': (str(ceph.of(self._site).client_files)
                           if options.ceph else ''),
            'CLOUD_CEPH_ADDRESS': settings.ceph_address(self.name),
            'CLOUD_CEPH_USER': f'client.{driver.CEPH_USER}',
            'CLOUD_CEPH_SECRET': driver.SECRET,
            'CLOUD_FOLDERS': ' '.join(driver.FOLDERS.values()),
            'CLOUD_STATE': driver.STATE,
            'CLOUD_RESTORE': shlex.join(driver.restore(
                cinder_conf.ROOTS_CONF)) if self._restores() else '',
        }

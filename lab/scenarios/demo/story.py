# SPDX-License-Identifier: Apache-2.0
"""The steps of the demo, in order."""

from collections.abc import Callable
import dataclasses
from pathlib import Path
import time

from lab import paths
from lab.cloud import api, driver
from lab.guest import image
from lab.scenario import clients, observe, report, trace_page
from lab.scenario.console import Guest, Line
from lab.scenario.expect import NotProven, expect_equal
from lab.scenario.report import Timing

#: The page of the last demo's first attach.
PAGE = paths.STATE / 'demo-attach.html'

_GIB = 1 << 30

#: Offset and size of the guest's pattern (lab/guest/init.sh).
_PATTERN_OFFSET_MIB, _PATTERN_MIB = 1, 4

#: virtio-blk truncates a serial to this (VIRTIO 1.2, 5.2.6, GET_ID).
_SERIAL_CHARACTERS = 20

#: cinder-volume logs this if its threads are native. It logs nothing for green
#: ones, since its log is not yet set up then (cinder/monkey_patch.py).
_NATIVE = 'Service is starting with native threading'



@dataclasses.dataclass
class Machine:
    """A server of the demo.

    :param server_id: its UUID.
    :param guest: its console.
    """

    server_id: str
    guest: Guest


class Story:
    """The demo's steps and what they pass on to each other.

    :param cloud: the cloud that is up.
    :param told: gets the timings.
    """

    def __init__(self, cloud: api.Cloud, told: report.Report) -> None:
        self._cloud = cloud
        self._told = told
        self._observer = observe.Observer(cloud)
        self._clients: clients.Clients
        self._machines: dict[str, Machine] = {}
        self._volumes: dict[str, str] = {}
        self._attaching: set[str] = set()
        self._written: Line
        self._before: observe.Seen | None = None

    def steps(self) -> list[tuple[str, Callable[[], str]]]:
        """Return the steps; each needs those before it."""
        return [
            ('Connect to the public APIs', self.connect),
            ('Drivers in the services\' own logs', self.drivers),
            ('Look at both nodes', self.look_before),
            ('Create a volume of 1 GiB', self.create),
            ('Boot servers A and B from the image', self.boot),
            ('Attach the volume to A', lambda: self.attach('A', 1)),
            ('A writes a pattern and reads it back', self.write),
            ('Extend the attached volume to 2 GiB', self.extend),
            ('Detach the volume from A', lambda: self.detach('A')),
            ('Attach the volume to B', lambda: self.attach('B', 2)),
            ('B reads the pattern that A wrote', self.verify),
            ('Make a volume from the image', self.create_from_image),
            ('Boot server C from that volume', self.boot_from_volume),
            ('Detach the volume from B', lambda: self.detach('B')),
        ]

    def last_steps(self) -> list[tuple[str, Callable[[], str]]]:
        """Return the steps that run in any case."""
        return [('Trace the first attach', self.trace),
                ('Delete servers and volumes', self.clean_up),
                ('Nothing is left on both nodes', self.nothing_left)]

    def connect(self) -> str:
        """Connect as a client does."""
        connected = self._cloud.connect()
        self._clients = clients.Clients(connected)
        return (f'{connected.config.get_auth_args()["auth_url"]}, compute API '
                f'{api.COMPUTE_MICROVERSION}')

    def drivers(self) -> str:
        """Quote which drivers nova-compute and cinder-volume have loaded."""
        quoted = []
        for service, words in (
                ('nova-compute', 'Loading compute driver'),
                ('cinder-volume', 'Starting volume driver')):
            line = observe.first_match(self._cloud.log(service), words)
            if line is None:
                raise NotProven(f'the log of {service} lacks "{words}"')
            quoted.append(f'{service}: {line[line.index(words):]}')
        driver = self._cloud.options.compute_driver
        if driver not in quoted[0]:
            raise NotProven(f'{quoted[0]} rather than {driver}')
        quoted.append(f'{self._mode()} threads')
        return '; '.join(quoted)

    def _mode(self) -> str:
        """Return the mode of cinder-volume's threads, from its log."""
        line = observe.first_match(self._cloud.log('cinder-volume'), _NATIVE)
        mode = 'native' if line else 'green'
        expect_equal(self._cloud.options.cinder_mode, mode, 'threads')
        return mode

    def look_before(self) -> str:
        """Record what is there before anything is created."""
        self._before = self._observer.look()
        targets = self._before.target['targets']
        return (f'{len(targets)} target(s) with '
                f'{sum(len(t["luns"]) for t in targets.values())} LUN(s); '
                f'{len(self._before.initiator["sessions"])} session(s)')

    def create(self) -> str:
        """Create the volume under test."""
        volume_id = self._clients.create_volume('demo', 1)
        self._volumes['demo'] = volume_id
        path, size_bytes = self._observer.backing_file(volume_id)
        expect_equal(_GIB, size_bytes, f'size of {path}')
        return f'{volume_id}; storage: {path}, {size_bytes} bytes'

    def boot(self) -> str:
        """Boot both servers in parallel, and wait until both guests run."""
        for name in ('A', 'B'):
            self._boot(name, image_id=api.IMAGE_ID)
        said = [self._up(name) for name in ('A', 'B')]
        return '; '.join(said)

    def _boot(self, name: str, **source: str) -> None:
        server_id = self._clients.create_server(f'demo-{name}', **source)
        self._machines[name] = Machine(
            server_id, self._clients.guest(name, server_id))

    def _up(self, name: str) -> str:
        machine = self._machines[name]
        self._clients.wait_server(machine.server_id)
        line = machine.guest.wait('disk', 'vda', 'booted')
        expect_equal(image.image_id(image.path()), line.fields['image'],
                     f'image that {name} booted')
        return f'guest {name}: {line.text}'

    def attach(self, name: str, size_gib: int) -> str:
        """Attach the volume; the guest, the target and the host show it."""
        machine, volume_id = self._machines[name], self._volumes['demo']
        since = time.monotonic()
        logs = self._log_sizes()
        self._attaching.add(name)
        timing = self._clients.attach(f'attach to {name}', machine.server_id,
                                      volume_id)
        line = machine.guest.wait('disk', 'vdb', 'added')
        self._time(timing, since, logs, volume_id)
        expect_equal(volume_id[:_SERIAL_CHARACTERS], line.fields['serial'],
                     'serial that the guest sees')
        expect_equal(str(size_gib * _GIB), line.fields['bytes'],
                     'size that the guest sees')
        return (f'guest {name}: {line.text}; '
                + self._observer.attached(volume_id, size_gib * _GIB))

    def write(self) -> str:
        """Let A write its pattern; it is in the backing file."""
        line = self._machines['A'].guest.wait('disk', 'vdb', 'wrote')
        path, _ = self._observer.backing_file(self._volumes['demo'])
        expect_equal(line.fields['sha256'], self._observer.checksum(
            path, _PATTERN_OFFSET_MIB, _PATTERN_MIB),
            'checksum of the pattern in the backing file')
        self._written = line
        return f'guest A: {_short(line)}; backing file: same checksum'

    def extend(self) -> str:
        """Extend the volume under the guest, which writes to the new part."""
        volume_id = self._volumes['demo']
        self._clients.extend_volume(volume_id, 2)
        guest = self._machines['A'].guest
        resized = guest.wait('disk', 'vdb', 'resized')
        expect_equal(str(2 * _GIB), resized.fields['to'],
                     'size after the growth')
        beyond = guest.wait('disk', 'vdb', 'wrote-beyond')
        path, size_bytes = self._observer.backing_file(volume_id)
        expect_equal(2 * _GIB, size_bytes, f'size of {path}')
        expect_equal(beyond.fields['sha256'], self._observer.checksum(
            path, int(beyond.fields['offset']) >> 20,
            int(beyond.fields['bytes']) >> 20),
            'checksum of what the guest wrote behind the old end')
        return (f'guest A: {resized.text}; {_short(beyond)}; '
                + self._observer.attached(volume_id, 2 * _GIB))

    def detach(self, name: str) -> str:
        """Detach the volume; neither the guest nor a node has it any more."""
        machine, volume_id = self._machines[name], self._volumes['demo']
        since = time.monotonic()
        logs = self._log_sizes()
        timing = self._clients.detach(f'detach from {name}',
                                      machine.server_id, volume_id)
        line = machine.guest.wait('disk', 'vdb', 'removed')
        self._time(timing, since, logs, volume_id)
        return (f'guest {name}: {line.text}; '
                + self._observer.detached(volume_id))

    def verify(self) -> str:
        """Let B read what A wrote."""
        line = self._machines['B'].guest.wait('disk', 'vdb', 'verified')
        for field in ('token', 'bytes', 'sha256'):
            expect_equal(self._written.fields[field], line.fields[field],
                         f'{field} of the pattern')
        return f'guest B: {_short(line)}, as A wrote it'

    def create_from_image(self) -> str:
        """Create a volume from the image."""
        volume_id = self._clients.create_volume('demo-boot', 1, api.IMAGE_ID)
        self._volumes['boot'] = volume_id
        path, size_bytes = self._observer.backing_file(volume_id)
        expect_equal(_GIB, size_bytes, f'size of {path}')
        return f'{volume_id}; storage: {path}{self._shared(volume_id)}'

    def _shared(self, volume_id: str) -> str:
        """Check that the image was shared, not copied, if that is possible."""
        options = self._cloud.options
        words = driver.shares_image(volume_id, options.store)
        line = observe.first_match(self._cloud.log('cinder-volume'), words)
        must = (options.images, options.store) in (
            ('storage', 'reflink'), ('rbd', 'rbd'))
        expect_equal(must, line is not None, 'the image is shared, not copied')
        return f'; {line[line.index(words):]}' if line else ''

    def boot_from_volume(self) -> str:
        """Boot a server from that volume."""
        volume_id = self._volumes['boot']
        self._boot('C', volume_id=volume_id)
        self._clients.wait_server(self._machines['C'].server_id)
        added = self._machines['C'].guest.wait('disk', 'vda', 'added')
        expect_equal(volume_id[:_SERIAL_CHARACTERS], added.fields['serial'],
                     'serial of the disk that the guest booted from')
        return (f'{self._up("C")}, serial={added.fields["serial"]}; '
                + self._observer.attached(volume_id, _GIB))

    def trace(self) -> str:
        """Write a page about the attach to A, be it that it failed."""
        if 'A' not in self._attaching:
            return 'nothing was attached'
        return trace_page.write(self._cloud.logs(),
                                self._machines['A'].server_id, PAGE)

    def clean_up(self) -> str:
        """Delete what the demo created, attached or not."""
        machines, volumes = self._machines, self._volumes
        for machine in machines.values():
            self._clients.delete_server(machine.server_id)
        for volume_id in volumes.values():
            self._clients.wait_volume(volume_id, 'available', timeout_s=60)
            self._clients.delete_volume(volume_id)
        return f'{len(machines)} servers, {len(volumes)} volumes'

    def nothing_left(self) -> str:
        """Check both nodes for anything that was not there before."""
        if self._before is None:
            raise NotProven('the state before the demo is not known')
        return observe.nothing_left(self._before, self._observer.look())

    def _log_sizes(self) -> dict[Path, int]:
        return {log: log.stat().st_size for log in map(
            self._cloud.log, ('cinder-volume', 'nova-compute'))}

    def _time(self, timing: Timing, since: float, logs: dict[Path, int],
              volume_id: str) -> None:
        """Record a timing, with our driver's own part from its log."""
        stages = []
        for log, size in logs.items():
            with log.open(errors='replace') as f:
                f.seek(size)
                stages += [(m[1].lower(), float(m[2])) for line in f
                           if volume_id in line
                           and (m := driver.DONE.search(line))]
        self._told.timings.append(dataclasses.replace(
            timing, guest_s=time.monotonic() - since, stages=tuple(stages)))


def _short(line: Line) -> str:
    """Return a line's text with the checksum cut."""
    return line.text.replace(line.fields['sha256'],
                             line.fields['sha256'][:16] + '...')

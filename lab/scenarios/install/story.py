# SPDX-License-Identifier: Apache-2.0
"""The steps: hosts made anew, install, attach, reboot, remove, compare."""

from collections.abc import Callable
import contextlib
import dataclasses
import functools

from lab import errors, paths
from lab.cloud import api, ready, settings
from lab.cloud import site as cloud_site
from lab.cloud.control import rest
from lab.cloud.steps import wait
from lab.scenario import clients, report
from lab.scenario.console import Guest
from lab.scenario.expect import NotProven, expect_equal
from lab.scenarios.install import (
    documents,
    host,
    installing,
    looking,
    manifest,
    removing,
    roots,
)

_GIB = 1 << 30

#: The sample's backend for each store.
BACKENDS = {'reflink': 'files', 'lvmthin': 'thin'}

_DEADLINE_S = 240


class Story:
    """The steps and what they pass on to each other.

    :param cloud: the cloud without its hosts.
    :param told: gets the timings.
    :param typed: gets everything that is typed on the hosts, in order.
    """

    def __init__(self, cloud: api.Cloud, told: report.Report,
                 typed: list[host.Typed]) -> None:
        self._cloud = cloud
        self._told = told
        store = cloud.options.store
        self._backend = BACKENDS[store]
        site = cloud_site.load(settings.Layout())
        self._rest = rest.Client(site)
        readme = documents.README.read_text()
        page = documents.PAGE.read_text()
        lines = dict(zip(roots.KINDS, documents.real_cloud(readme),
                         strict=True))
        if store != 'reflink':
            lines[roots.STORAGE] = documents.for_thin_pool(
                lines[roots.STORAGE], documents.thin_pool(readme))
        self._hosts = [host.Host(kind, site, typed)
                       for kind in roots.KINDS]
        self._storage, self._compute = self._hosts
        self._installers = {machine: installing.Installer(
            machine, lines[machine.kind], page) for machine in self._hosts}
        self._removers = {machine: removing.Remover(machine, page, store)
                          for machine in self._hosts}
        self._before: dict[host.Host, manifest.Manifest] = {}
        self._clients: clients.Clients
        self._guest: Guest
        self._server = self._volume = ''

    def steps(self) -> list[tuple[str, Callable[[], str]]]:
        """Return the steps; each needs those before it."""
        found: list[tuple[str, Callable[[], str]]] = []
        for machine in self._hosts:
            found += self._install_steps(machine)
        found += [
            ('Both services report themselves up', self.report_up),
            ('Create a volume and boot a server', self.create),
            ('Attach the volume', self.attach),
            ('Services and privileges', self.privileges),
            ('The units, as systemd sees them', self.units),
            ('Doctor finds nothing', self.doctor),
            ('Storage host reboots under the guest', self.reboot),
            ('Detach and delete', self.delete),
        ]
        for machine in self._hosts:
            found += self._remove_steps(machine)
        return [(name, functools.partial(self._act, act))
                for name, act in found]

    def last_steps(self) -> list[tuple[str, Callable[[], str]]]:
        """Return the steps that run in any case."""
        return []

    def _act(self, act: Callable[[], str]) -> str:
        """Do a step; if it fails, keep the logs of the hosts that are on."""
        try:
            return act()
        except Exception:
            for machine in self._hosts:
                with contextlib.suppress(errors.LabError):
                    machine.keep_journal(
                        paths.STATE / f'install-{machine.kind.name}.log')
            raise

    def _install_steps(self, machine: host.Host
                       ) -> list[tuple[str, Callable[[], str]]]:
        name, installer = machine.kind.name, self._installers[machine]
        return [
            (f'{name}: a root made anew', machine.make),
            (f'{name}: packages of the distribution', installer.packages),
            (f'{name}: first boot', functools.partial(
                self.first_boot, machine)),
            (f'{name}: the Python package', installer.python),
            (f'{name}: boot', machine.boot),
            (f'{name}: the commands of README', installer.readme),
        ]

    def _remove_steps(self, machine: host.Host
                      ) -> list[tuple[str, Callable[[], str]]]:
        name = machine.kind.name
        return [(f'{name}: remove', self._removers[machine].remove),
                (f'{name}: nothing is left', functools.partial(
                    self.compare, machine))]

    def first_boot(self, machine: host.Host) -> str:
        """Boot once, so that the host's own software has made its files."""
        said = machine.boot()
        if machine is self._compute:
            self._wait_compute()
        self._before[machine] = machine.manifest()
        machine.shut_down()
        return f'{said}; {len(self._before[machine])} files'

    def report_up(self) -> str:
        """Wait until both services have reported themselves up."""
        self._wait_storage()
        self._wait_compute()
        lines = [line for machine, words in (
            (self._storage, 'Starting volume driver'),
            (self._compute, 'Loading compute driver'))
            for line in machine.journal().splitlines() if words in line]
        return '; '.join(line.partition('] ')[2] for line in lines[-2:])

    def _wait_storage(self) -> None:
        options = dataclasses.replace(self._cloud.options,
                                      backends=(self._backend,))
        since = self._storage.runs_since()
        self._wait(lambda: ready.volume(self._rest, options, since),
                   self._storage)
        self._wait(lambda: ready.drivers_serve(self._storage.log(), 1),
                   self._storage)

    def _wait_compute(self) -> None:
        since = self._compute.runs_since()
        self._wait(lambda: ready.compute(self._rest, since), self._compute)

    def _wait(self, probe: Callable[[], object], machine: host.Host) -> None:
        try:
            wait.wait_for(probe, f'{machine.kind.unit} to report itself up',
                          timeout_s=_DEADLINE_S, poll_s=1)
        except Exception as e:
            raise NotProven(f'{e}\n{machine.journal()}') from e

    def create(self) -> str:
        """Create a volume on the new backend, and boot a server."""
        types = self._rest.get('cinder', '/v3/types')['volume_types']
        if self._backend not in {t['name'] for t in types}:
            self._rest.send('POST', 'cinder', '/v3/types', json={
                'volume_type': {'name': self._backend, 'extra_specs': {
                    'volume_backend_name': self._backend}}})
        self._clients = clients.Clients(self._cloud.connect())
        self._volume = self._clients.create_volume(
            'install', 1, volume_type=self._backend)
        self._server = self._clients.create_server(
            'install', image_id=api.IMAGE_ID)
        self._guest = self._clients.guest('A', self._server)
        self._clients.wait_server(self._server)
        line = self._guest.wait('disk', 'vda', 'booted')
        return f'volume {self._volume}; guest: {line.text}'

    def attach(self) -> str:
        """Attach the volume; guest, target and host show it."""
        self._told.timings.append(self._clients.attach(
            'first attach', self._server, self._volume))
        line = self._guest.wait('disk', 'vdb', 'added')
        expect_equal(str(_GIB), line.fields['bytes'], 'size in the guest')
        self._guest.wait('disk', 'vdb', 'wrote')
        return f'guest: {line.text}; {self._attached()}'

    def _attached(self) -> str:
        return looking.attached(self._storage, self._compute, self._volume)

    def privileges(self) -> str:
        """The services are no root, and sudo lets them do one thing each."""
        return '; '.join(map(looking.privileges, self._hosts))

    def units(self) -> str:
        """Systemd, visudo and udev find nothing wrong with the files."""
        return '; '.join(map(looking.files, self._hosts))

    def doctor(self) -> str:
        """``mydriver doctor`` and ``mydriver status`` are content."""
        return '; '.join(map(looking.doctor, self._hosts))

    def reboot(self) -> str:
        """Shut the storage host down and boot it while a guest has a volume.

        The unit restores the exports before cinder-volume starts.
        """
        down_s = self._storage.shut_down()
        up = self._storage.boot()
        said = looking.restored(self._storage)
        self._wait_storage()
        self._clients.extend_volume(self._volume, 2)
        self._guest.wait('disk', 'vdb', 'resized')
        beyond = self._guest.wait('disk', 'vdb', 'wrote-beyond')
        return (f'down after {down_s:.0f} s, up after {up}, {said}; guest: '
                f'{beyond.text}; {self._attached()}')

    def delete(self) -> str:
        """Detach the volume; delete it and the server."""
        self._told.timings.append(self._clients.detach(
            'detach', self._server, self._volume))
        self._guest.wait('disk', 'vdb', 'removed')
        self._clients.delete_server(self._server)
        self._clients.delete_volume(self._volume)
        return looking.empty(self._storage, self._compute)

    def compare(self, machine: host.Host) -> str:
        """Compare the root's files with those from before."""
        after = machine.manifest()
        machine.shut_down()
        left = manifest.differences(self._before[machine], after,
                                    removing.OWN[machine.kind.name])
        if left:
            raise NotProven(f'{len(left)} differences:\n' + '\n'.join(left))
        return f'{len(after)} files, as before'

# SPDX-License-Identifier: Apache-2.0
"""Hosts: a root of its own, its own systemd, and what is typed there."""

import dataclasses
import json
from pathlib import Path
import shlex
import shutil
import time

from lab import errors, process
from lab.cloud import network, settings
from lab.cloud.site import Site
from lab.cloud.steps.registry import Registry
from lab.kernel import mailbox, node
from lab.scenarios.install import chroot, documents, given, manifest, roots

_BOOT = Path(__file__).with_name('boot.sh')

#: What starts at boot and has nothing to do on a node.
_MASKED = ('e2scrub_reap.service', 'e2scrub_all.timer', 'apt-daily.timer',
           'apt-daily-upgrade.timer', 'dpkg-db-backup.timer',
           'getty@tty1.service')

_MEMORY_MIB = {roots.STORAGE.name: 1536, roots.COMPUTE.name: 4096}
_DISK = 10 << 30

#: Where the clone is on a host: an unpacked source distribution.
SOURCE = '/root/mydriver'


@dataclasses.dataclass(frozen=True, slots=True)
class Typed:
    """A command that was typed.

    :param host: where.
    :param command: the command.
    :param seconds: its duration.
    :param status: its exit status.
    :param output: what it printed.
    """

    host: str
    command: str
    seconds: float
    status: int
    output: str


class Host:
    """A host of the cloud whose root was made anew.

    :param kind: of host.
    :param site: the cloud.
    :param typed: gets each command that is typed.
    """

    def __init__(self, kind: roots.Kind, site: Site,
                 typed: list[Typed]) -> None:
        self.kind = kind
        self.root = roots.STATE / f'run-{kind.name}'
        self._site = site
        self._registry = Registry(site.layout.pids, site.layout.logs)
        self._all_typed = typed
        self._box = site.layout.run / 'box' / kind.name

    @property
    def typed(self) -> list[Typed]:
        """What was typed on this host."""
        return [t for t in self._all_typed if t.host == self.kind.name]

    def make(self) -> str:
        """Make the host as it is before the driver is installed."""
        self._registry.end([self._record])
        folder = self._site.layout.disks / self.kind.name
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        roots.format_disk(folder / 'ubdb', _DISK)
        roots.unpack(roots.given(self.kind), self.root)
        given.write(self.root, self.kind, self._site)
        roots.source(self.root / SOURCE.lstrip('/'))
        return str(self.root)

    def type_outside(self, line: documents.Line) -> Typed:
        """Type a command that needs a network, before the host is booted.

        :raises machine.CommandFailed: when it fails.
        """
        since = time.monotonic()
        output = chroot.run(self.root, ['/bin/sh', '-c', line.command],
                            cwd=SOURCE)
        return self.note(line.command, since, 0, output)

    def ask_outside(self, command: str) -> str:
        """Return the output of a command, before the host is booted.

        :raises machine.CommandFailed: when it fails.
        """
        return chroot.run(self.root, ['/bin/sh', '-c', command])

    def boot(self) -> str:
        """Boot it; return how long that took, and what systemd says."""
        mailbox.Mailbox.reset(self._box)
        layout = self._site.layout
        name = self.kind.name
        since = time.monotonic()
        started = node.start(
            node.NodeSpec(
                name, _MEMORY_MIB[name], disks=(_DISK, _DISK),
                taps=network.taps(name, self._site.options), first=_BOOT,
                words=('systemd.show_status=1', 'systemd.log_color=0', *(
                    f'systemd.mask={unit}' for unit in _MASKED)),
                environ={'HOST_ROOT': str(self.root),
                         'HOST_BOX': str(self._box),
                         'HOST_ADDRESS': settings.address(name)}),
            layout.disks / name, netns=settings.NAMESPACE,
            log=layout.log(f'console-{name}'), keep_disks=True)
        self._registry.note(dataclasses.replace(started, name=self._record))
        self.box().wait_ready()
        state = self.box().run(
            ['systemctl', 'is-system-running', '--wait']).text.strip()
        failed = self.ask('systemctl list-units --failed --plain --no-legend '
                          "| cut -d ' ' -f 1").split()
        return (f'{time.monotonic() - since:.0f} s, {state}'
                f'{": " if failed else ""}{", ".join(failed)}')

    def box(self) -> mailbox.Mailbox:
        """Return its mailbox."""
        return mailbox.Mailbox(self._box, self._process())

    def type(self, line: documents.Line, *, statuses: tuple[int, ...] = (0,)
             ) -> Typed:
        """Type a command on the running host, as root.

        :param statuses: the exit statuses that are expected.
        :raises LabError: when it has another one.
        """
        since = time.monotonic()
        result = self.box().run(['/bin/bash', '-lc', line.command],
                                timeout_s=300)
        output = result.text + result.stderr.decode(errors='replace')
        typed = self.note(line.command, since, result.status, output)
        if result.status not in statuses:
            raise errors.LabError(
                f'{line.command} on {self.kind.name}: status '
                f'{result.status}\n{output}{self.journal()}')
        return typed

    def ask(self, command: str) -> str:
        """Return the output of a command that must succeed."""
        return self.box().check(['/bin/bash', '-c', command])

    def write(self, path: str, text: str) -> None:
        """Replace a file's content; its mode and owner stay."""
        note = self._box / 'text'
        note.touch(0o600)
        note.write_text(text)
        try:
            self.ask(f'cat /run/lab/box/text > {shlex.quote(path)}')
        finally:
            note.unlink()

    def journal(self, unit: str = '') -> str:
        """Return the end of the service's log."""
        result = self.box().run([
            'journalctl', '-b', '--no-pager', '-o', 'cat', '-n', '60', '-u',
            unit or self.kind.unit])
        return result.text

    def runs_since(self) -> float:
        """Return from when on reports are those of the service's current run.

        A run reports until its very end. It ended before the next one began,
        of which systemd tells the second; that second and the one that
        :func:`.ready.fresh` allows for do not count.

        :returns: seconds since the epoch.
        """
        said = self.ask('systemctl show --property ActiveEnterTimestamp '
                        f'--value --timestamp unix {self.kind.unit}')
        return float(said.strip().removeprefix('@')) + 2

    def log(self) -> str:
        """Return what its service has logged since it was last started."""
        return self.ask(
            'journalctl --no-pager -o cat _SYSTEMD_INVOCATION_ID="$(systemctl '
            f'show --property InvocationID --value {self.kind.unit})"')

    def keep_journal(self, path: Path) -> None:
        """Write the log since its last boot to a file.

        :raises LabError: when it is off, or does not answer.
        """
        path.write_text(self.ask('journalctl -b --no-pager -o short-precise'))

    def shut_down(self) -> float:
        """Shut it down, as an operator does; return how long it took."""
        since = time.monotonic()
        running = self._process()
        self.box().run(['systemctl', 'poweroff', '--no-block'])
        node.wait_end(running, 120)
        return time.monotonic() - since

    def manifest(self) -> manifest.Manifest:
        """Return the files of its root."""
        upper = json.loads(self.ask(
            'python3 -I -S /run/lab/manifest.py /run/lab/written'))
        return manifest.overlaid(manifest.record(self.root), upper)

    @property
    def _record(self) -> str:
        return f'node-{self.kind.name}'

    def _process(self) -> process.Process:
        found = self._registry.get(self._record)
        if found is None or not found.alive():
            raise errors.LabError(f'host {self.kind.name} is off')
        return found

    def note(self, command: str, since: float, status: int = 0,
             output: str = '') -> Typed:
        """Record what was typed.

        :param since: when, by the monotonic clock.
        """
        typed = Typed(self.kind.name, command, time.monotonic() - since,
                      status, output)
        self._all_typed.append(typed)
        return typed

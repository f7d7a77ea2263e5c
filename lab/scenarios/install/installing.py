# SPDX-License-Identifier: Apache-2.0
"""Install the driver on a host by what the documents say."""

import shlex
import time

from lab.cloud import settings
from lab.scenario.expect import NotProven
from lab.scenarios.install import documents, editing, host, roots

#: The sentence of the installation page before the commands that README's
#: comment "mount it at" stands for.
_MOUNTING = 'which belongs to the user of cinder-volume::'

#: Where the operator keeps what was there before.
KEPT = '/root/before'

#: What an operator edits on each kind of host.
EDITED = {roots.STORAGE.name: ('/etc/cinder', '/etc/fstab',
                               '/etc/lvm/lvm.conf'),
          roots.COMPUTE.name: ('/etc/nova',)}

_LVM_CONF = '/etc/lvm/lvm.conf'


class Installer:
    """Types what the documents say on one host.

    :param machine: the host.
    :param lines: README's for this kind of host.
    :param page: text of the installation page.
    """

    def __init__(self, machine: host.Host, lines: list[documents.Line],
                 page: str) -> None:
        self._machine = machine
        self._name = machine.kind.name
        self._python, *self._lines = lines
        self._page = page

    def packages(self) -> str:
        """Install the packages of the distribution that the page names."""
        self._machine.type_outside(documents.Line('apt-get -q update'))
        for line in documents.packages(self._page)[self._name]:
            self._machine.type_outside(line)
        return _seconds(self._machine, 'apt-get')

    def python(self) -> str:
        """Install the Python package; nothing else may change by it.

        :raises NotProven: when another package changes.
        """
        freeze = documents.Line(f'{self._machine.kind.venv}/bin/pip freeze')
        had = set(self._machine.ask_outside(freeze.command).splitlines())
        self._machine.type_outside(self._python)
        has = set(self._machine.ask_outside(freeze.command).splitlines())
        if had - has:
            raise NotProven(f'other packages have changed: {had - has}')
        return f'{self._python.command}: {", ".join(sorted(has - had))}'

    def readme(self) -> str:
        """Type what README says for a host that is booted."""
        self._machine.ask(
            f'mkdir {KEPT}; cp -a --parents '
            f'{shlex.join(EDITED[self._name])} {KEPT}')
        before = len(self._machine.typed)
        for line in self._lines:
            self._type(line)
        return f'{len(self._machine.typed) - before} commands'

    def _type(self, line: documents.Line) -> None:
        if line.action == documents.COPY:
            self._configure(*line.words)
            return
        output = self._machine.type(line).output
        if line.action == documents.MOUNT:
            # Without the first and the last one, which README has.
            for more in documents.page(self._page, _MOUNTING)[1:-1]:
                self._machine.type(more)
        if line.action == documents.LISTED:
            for item in editing.left_to_do(output):
                self._do(item)

    def _do(self, item: str) -> None:
        """Do what ``mydriver setup`` has listed."""
        if item.startswith(editing.FILTER):
            text = self._machine.ask(f'cat {_LVM_CONF}')
            self._edit(_LVM_CONF, editing.with_filter(text, '/dev/ubda'))
        elif command := editing.commands_in(item):
            self._machine.type(documents.Line(command))

    def _configure(self, sample: str, config: str) -> None:
        """Copy from the sample configuration."""
        self._edit(config, editing.with_sample(
            self._machine.ask(f'cat {shlex.quote(config)}'),
            self._machine.ask(f'cat {shlex.quote(sample)}'),
            settings.address(roots.STORAGE.name)))

    def _edit(self, path: str, text: str) -> None:
        since = time.monotonic()
        self._machine.write(path, text)
        self._machine.note(f'$EDITOR {path}', since)


def _seconds(machine: host.Host, word: str) -> str:
    """Return how long the commands with a word took."""
    found = [t for t in machine.typed if word in t.command]
    return (f'{len(found)} commands, '
            f'{sum(t.seconds for t in found):.0f} s')

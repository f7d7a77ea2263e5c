# SPDX-License-Identifier: Apache-2.0
"""Settings of multipathd, and the commands that correct them.

A host has maps of its own. What changes a setting for more than the disks of
the kernel target would rename these maps, so that is left to the operator.
"""

from collections.abc import Iterator, Mapping
import dataclasses
from pathlib import Path
import re

from mydriver.doctor import commands, rewriting
from mydriver.doctor.host import Host
from mydriver.hostfiles import catalogue

#: Files of multipathd, and what lets it read them again.
_CONFIG = '/etc/multipath.conf'
_OURS = f'{catalogue.MULTIPATH}/mydriver.conf'
_RELOAD = 'systemctl reload multipathd'

#: What disks of the kernel target say of themselves
#: (drivers/target/target_core_file.c, target_core_iblock.c).
_DEVICE = 'devices/device'
_VENDOR, _PRODUCTS = 'LIO-ORG', ('FILEIO', 'IBLOCK')

#: A line of a setting; a value with blanks is quoted.
_SETTING = re.compile(r'(\w+)\s+(?:"([^"]*)"|([^\s#!"]+))')


@dataclasses.dataclass(frozen=True, slots=True)
class _Entry:
    """A section of the configuration, without those in it.

    :param section: its name, after those of the sections around it.
    :param values: of its settings.
    :param lines: where they are, from 1.
    """

    section: str
    values: dict[str, str] = dataclasses.field(default_factory=dict)
    lines: dict[str, int] = dataclasses.field(default_factory=dict)


def effective(config: str) -> dict[str, str]:
    """Return the settings of multipathd for disks of the kernel target.

    :param config: what ``multipathd show config`` prints.
    """
    found: dict[str, dict[str, str]] = {
        'defaults': {}, _DEVICE: {}, 'overrides': {}}
    for entry in _entries(config):
        if entry.section in found and _applies(entry):
            found[entry.section].update(entry.values)  # the last one counts
    # In the order of multipath.conf(5), the strongest one last.
    return {**found['defaults'], **found[_DEVICE], **found['overrides']}


def for_our_disks(host: Host, name: str, value: str) -> str:
    """Return what makes multipathd use a setting for our disks.

    The file of ``mydriver setup``, unless that is in place and another one
    overrides it: that one is opened where it does.
    """
    wanted = catalogue.template('multipath.conf').rstrip('\n') + '\n'
    if host.text(_OURS) != wanted:
        return f'{commands.install(host)} && {_RELOAD}'
    for section in ('overrides', _DEVICE):  # the strongest one first
        places = [(entry.lines[name], file) for file in _files(host)
                  for entry in _entries(file.read_text(errors='replace'))
                  if entry.section == section and _applies(entry)
                  and entry.values.get(name, value) != value]
        if places:
            line, file = places[-1]
            return f'{commands.edit(host, line, str(file))} && {_RELOAD}'
    return _RELOAD


def by_default(host: Host, name: str, value: str) -> str:
    """Return what sets a setting for all disks of the host."""
    having = [str(file) for file in _files(host) if any(
        entry.section == 'defaults' and name in entry.values
        for entry in _entries(file.read_text(errors='replace')))]
    if not having:
        added = rewriting.append(str(host.at(_CONFIG)), [
            'defaults {', f'    {name} {value}', '}'])
        return f'{added} && {_RELOAD}'
    script = ('/^[[:space:]]*defaults[[:space:]]*{/,/^[[:space:]]*}/s/'
              f'^\\([[:space:]]*{name}[[:space:]]\\+\\).*/\\1{value}/')
    return f'{rewriting.sed(script, having)} && {_RELOAD}'


def _files(host: Host) -> list[Path]:
    """Return the files of others that multipathd reads, in its order."""
    return [f for f in (host.at(_CONFIG), *sorted(
        host.at(catalogue.MULTIPATH).glob('*.conf')))
        if f != host.at(_OURS) and f.exists()]


def _entries(config: str) -> Iterator[_Entry]:
    """Yield the sections of a configuration, each where it ends."""
    inside: list[_Entry] = []
    for number, line in enumerate(map(str.strip, config.splitlines()), 1):
        if line.startswith(('#', '!')):
            continue
        if opened := re.match(r'(\w+)\s*\{', line):
            inside.append(_Entry('/'.join(
                [*(e.section for e in inside[-1:]), opened[1]])))
        elif line.startswith('}'):
            if inside:
                yield inside.pop()
        elif inside and (found := _SETTING.match(line)):
            inside[-1].values[found[1]] = found[2] or found[3] or ''
            inside[-1].lines[found[1]] = number


def _applies(entry: _Entry) -> bool:
    """Tell whether a section is for disks of the kernel target."""
    return entry.section != _DEVICE or _is_of_lio(entry.values)


def _is_of_lio(device: Mapping[str, str]) -> bool:
    """Tell whether an entry is for the kernel target's disks, not TCMU's."""
    try:
        return bool(re.search(device.get('vendor') or '(?!)', _VENDOR)
                    and any(re.search(device.get('product', ''), p)
                            for p in _PRODUCTS))
    except re.error:
        return False  # a regular expression of POSIX only

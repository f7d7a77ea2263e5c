# SPDX-License-Identifier: Apache-2.0
"""The kinds of host that the wheel is installed on, and what must hold there.

=================== ======================================================
bare                the package without an extra
storage             a gateway: no Cinder
storage, cinder     a host that runs cinder-volume
compute             the extra without nova
compute, nova       a host that runs nova-compute
=================== ======================================================
"""

from collections.abc import Iterable, Iterator, Sequence
import dataclasses
from pathlib import Path
import re
from typing import Any

from tools.checklist import Checklist
from tools.venvs import Content, Venv, VenvError

_CINDER_ROOM = 'mydriver.cinder_volume'
_NOVA_ROOM = 'mydriver.nova_virt'

#: What the extra ``storage`` brings: the top-level modules.
_STORAGE_MODULES = frozenset({'prometheus_client', 'rtslib_fb'})

#: The commands that can be loaded without that extra.
_EVERYWHERE = frozenset({'doctor', 'journal downgrade', 'metrics', 'setup',
                         'trace'})

#: How the help lists a command that cannot be loaded.
_UNUSABLE = 'Could not load mydriver {}: it needs mydriver[storage]'

_OPTIONS = 'oslo.config.opts'
_SCRIPTS = 'console_scripts'


@dataclasses.dataclass(frozen=True, slots=True)
class Host:
    """A kind of host.

    :param name: for the report.
    :param extra: of the package, or an empty text.
    :param service: the project that is installed first, or an empty text.
    :param brings: the distributions that the wheel may install there, besides
        what the service has installed; None if that is not limited.
    :param rooms: packages that need not be importable there.
    :param lacks: top-level modules that may be missing there.
    :param groups: groups of entry points that must load.
    :param driver: value of the service's option that names our driver, and
        the class of the service that it must be derived from.
    :param refuses: commands that are not for this host, and a text that their
        errors must have.
    """

    name: str
    extra: str = ''
    service: str = ''
    brings: frozenset[str] | None = None
    rooms: tuple[str, ...] = ()
    lacks: frozenset[str] = frozenset()
    groups: tuple[str, ...] = (_OPTIONS, _SCRIPTS)
    driver: tuple[str, str] = ('', '')
    refuses: tuple[tuple[tuple[str, ...], str], ...] = ()


_REFUSES = tuple(((('mydriver', *words)), 'mydriver[storage]') for words in (
    ('metrics',), ('status',), ('show',), ('restore',)))

HOSTS = (
    Host('bare', rooms=(_CINDER_ROOM, _NOVA_ROOM), lacks=_STORAGE_MODULES,
         refuses=_REFUSES),
    Host('storage', extra='storage', rooms=(_CINDER_ROOM, _NOVA_ROOM)),
    Host('storage, cinder', extra='storage', service='cinder',
         brings=frozenset({'mydriver', 'prometheus-client', 'rtslib-fb'}),
         rooms=(_NOVA_ROOM,),
         driver=('mydriver.cinder_volume.driver.LIODriver',
                 'cinder.volume.driver.VolumeDriver')),
    Host('compute', extra='compute', rooms=(_CINDER_ROOM, _NOVA_ROOM),
         lacks=_STORAGE_MODULES, groups=(_OPTIONS, _SCRIPTS, 'os_vif'),
         refuses=_REFUSES),
    Host('compute, nova', extra='compute', service='nova',
         brings=frozenset({'mydriver'}), rooms=(_CINDER_ROOM,),
         lacks=_STORAGE_MODULES,
         groups=(_OPTIONS, _SCRIPTS, 'os_vif',
                 'nova.virt.libvirt.volume_drivers'),
         driver=('mydriver.LibvirtDriver',
                 'nova.virt.libvirt.driver.LibvirtDriver'),
         refuses=_REFUSES),
)


@dataclasses.dataclass(frozen=True, slots=True)
class Row:
    """A line of the table.

    :param name: what is installed.
    :param content: what is in the environment.
    :param added: distributions that our wheel has added.
    """

    name: str
    content: Content
    added: tuple[str, ...]


def check(host: Host, wheel: Path, folder: Path,
          report: Checklist) -> Iterator[Row]:
    """Install the wheel as on a host, and check what must hold there.

    :param wheel: the wheel.
    :param folder: where to make the environment.
    :returns: lines of the table.
    :raises VenvError: when the wheel cannot be installed.
    """
    report.say('')
    report.say(f'Host: {host.name}')
    venv = Venv(folder / host.name.replace(', ', '-'))
    before = Content({}, 0)
    if host.service:
        venv.install(host.service)
        before = venv.content()
        yield Row(f'{host.service} alone', before, ())
    venv.install(f'{wheel}[{host.extra}]' if host.extra else str(wheel))
    after = venv.content()
    added = tuple(sorted(after.packages.keys() - before.packages.keys()))
    yield Row(host.name, after, added)
    _check_packages(host, before, after, added, report)
    conflicts = venv.conflicts()
    report.check('pip check', conflicts.splitlines())
    _check_imports(host, venv, report)
    _check_commands(host, venv, after.packages['mydriver'], report)
    if host.driver[0]:
        _check_driver(host, venv, after.packages['mydriver'], report)


def _check_packages(host: Host, before: Content, after: Content,
                    added: Sequence[str], report: Checklist) -> None:
    """Check what the wheel has brought along."""
    changed = [f'{name} was {version} and is {after.packages.get(name)}'
               for name, version in before.packages.items()
               if after.packages.get(name) != version]
    report.check(f'What {host.service or "nothing"} has brought is unchanged',
                 changed)
    if host.brings is not None:
        report.check('The wheel brings what it should', [
            f'{name} is installed too' for name in sorted(
                set(added) - host.brings)] + [
            f'{name} is not installed' for name in sorted(
                host.brings - after.packages.keys())], ', '.join(added))


def _check_imports(host: Host, venv: Venv, report: Checklist) -> None:
    """Check which modules and entry points load."""
    found = venv.probe('modules', *host.rooms)
    report.check('Modules load', wrong_imports(found['wrong'], host.lacks),
                 f'{found["imported"]}, {len(found["wrong"])} are for other '
                 'hosts')
    rooms = {_CINDER_ROOM, _NOVA_ROOM}
    if not rooms <= set(host.rooms):
        found = venv.probe('modules', *sorted(rooms))
    report.check('Outside of the plugins, none loads cinder, nova or '
                 'os-brick', found['heavy'])
    entries = venv.probe('entry', *host.groups)
    report.check('Entry points load', [
        f'{name}: {why}' for name, why in entries['wrong'].items()],
        ', '.join(entries['loaded']))


def wrong_imports(wrong: dict[str, dict[str, str]],
                  lacks: Iterable[str]) -> list[str]:
    """Return the modules that should have been imported, as lines.

    :param wrong: errors by module, as the probe returns them.
    :param lacks: what may be missing.
    """
    return [f'{name}: ' + (why.get('error') or f'{why["lacks"]} is missing')
            for name, why in sorted(wrong.items())
            if why.get('lacks', '') not in lacks]


def _check_commands(host: Host, venv: Venv, version: str,
                    report: Checklist) -> None:
    """Check the commands: version, help, and refusals."""
    done = venv.run('mydriver', '--version')
    report.check('mydriver --version', [] if (
        done.returncode == 0 and done.stdout.split()[-1] == version) else [
            f'exit status {done.returncode}: {done.stdout}'],
        done.stdout.strip())
    commands = venv.probe('commands')
    done = venv.run('mydriver', '--help')
    elsewhere = set(commands) - _EVERYWHERE if host.lacks else set()
    report.check('mydriver --help', wrong_help(
        done.returncode, done.stdout, commands, elsewhere),
        f'{len(commands)} commands, {len(elsewhere)} are for storage hosts')
    for words, text in host.refuses:
        done = venv.run(*words)
        report.check(f'{" ".join(words)} is refused', wrong_refusal(
            done.returncode, done.stdout, text), done.stdout.strip())


def wrong_help(status: int, output: str, commands: Iterable[str],
               elsewhere: Iterable[str]) -> list[str]:
    """Return what is wrong with the help.

    :param commands: all commands.
    :param elsewhere: those that this host lacks something for; the help has
        to name what.
    """
    lines = {line.strip() for line in output.splitlines()}
    wrong = [f'{name} is not listed' for name in commands
             if not any(re.match(rf'{name}  ', line) or line == name
                        or line == _UNUSABLE.format(name) for line in lines)]
    wrong += [f'{name} {"can" if name in elsewhere else "cannot"} be loaded'
              for name in commands
              if (_UNUSABLE.format(name) in lines) != (name in elsewhere)]
    if status:
        wrong.append(f'exit status {status}')
    if 'Traceback' in output:
        wrong.append('it has a traceback')
    return wrong


def wrong_refusal(status: int, output: str, text: str) -> list[str]:
    """Return what is wrong with a refusal: it must name the remedy."""
    wrong = [] if status else ['exit status 0']
    if 'Traceback' in output:
        wrong.append('it has a traceback')
    if text not in output:
        wrong.append(f'it does not name {text}')
    return wrong and [*wrong, *output.splitlines()]


def _check_driver(host: Host, venv: Venv, version: str,
                  report: Checklist) -> None:
    """Check that the service's option loads our driver."""
    name, base = host.driver
    try:
        found: dict[str, Any] = venv.probe('driver', name)
    except VenvError as e:
        report.check(f'{name} loads', [str(e)])
        return
    wrong = [] if base in found['bases'] else [f'it is no {base}']
    if found['version'] not in (None, version):
        wrong.append(f'its version is {found["version"]}')
    report.check(f'{name} loads', wrong, f'{found["name"]}, a {base}')


def table(rows: Iterable[Row]) -> Iterator[str]:
    """Yield the lines of a table: what is installed where."""
    yield f'{"Environment":20} {"Packages":>8} {"MiB":>6}  Added by the wheel'
    for row in rows:
        added = (', '.join(row.added)
                 if len(row.added) < len(row.content.packages)
                 else f'{len(row.added)}, which is all')
        yield (f'{row.name:20} {len(row.content.packages):8} '
               f'{row.content.size_mib:6.1f}  {added}')

# SPDX-License-Identifier: Apache-2.0
"""Check the files that ``mydriver setup`` has put in place."""

from collections.abc import Callable, Iterator, Sequence
import functools
import os
import shlex

from mydriver import exception
from mydriver.doctor import commands, displaced, findings
from mydriver.doctor.findings import Check, Found
from mydriver.doctor.host import Host
from mydriver.hostfiles import (
    activation,
    catalogue,
    choices,
    installing,
    manifest,
    planning,
)
from mydriver.hostfiles import root as roots
from mydriver.hostfiles.planning import State

_KEPT = {
    State.CHANGED: ('was changed since mydriver setup has written it', ''),
    State.FOREIGN: ('was not made by mydriver setup, and differs', ''),
}
_WORDS = {State.ABSENT: 'is missing', State.OURS: 'is out of date',
          State.OBSOLETE: 'is no longer needed',
          State.RESTORE: 'is no longer needed; what was there before has to '
          'come back'}


def _setup_files(host: Host) -> Iterator[Found]:
    root = host.filesystem()
    install = commands.install(host)
    try:
        made = manifest.load(root, host.kind)
    except exception.LaterRecord as e:
        yield findings.error(str(e), '')
        return
    except exception.ConfigurationError as e:
        if isinstance(e.__cause__, PermissionError):
            raise
        yield findings.error(
            f'{e.option}: {e.problem}. Restore it from a copy, or move it '
            'away and install the files again. The options of mydriver setup '
            'are lost with it: repeat those of the first call. Files that '
            'differ are only overwritten with --force, which keeps copies; '
            f'{manifest.BACKUPS} still has those of earlier calls.',
            displaced.record(host, e.option))
        return
    if made is None:
        yield findings.warning(
            f'mydriver setup {host.kind} has not been run on this host.',
            install)
        return
    chosen = choices.choose(host.kind, made.options)
    changes = [c for c in planning.plan(root, made, catalogue.files(chosen))
               if c.differs]
    # One for all of them.
    fix = (functools.partial(reinstall, root, host.kind)
           if not any(c.state is State.FOREIGN for c in changes) else None)
    for change in changes:
        if change.state in _KEPT:
            yield findings.warning(
                f'{change.path} {_KEPT[change.state][0]}.',
                f'{install} --force  # keeps a copy; see first what it '
                f'changes: mydriver setup {host.kind}')
        else:
            yield _ours(change, install, fix)
    yield from _owners(root, made)
    absent = {c.path for c in changes if c.found is None}
    for unit in catalogue.units(chosen):
        if (f'{catalogue.UNITS}/{unit}' not in absent
                and not _is_enabled(host, unit)):
            yield findings.error(
                f'{unit} is not enabled, so nothing starts it at boot.',
                f'systemctl enable {unit}',
                functools.partial(_enable, root, unit))
    if (not made.activated and not changes
            and activation.is_live(host.filesystem())):
        yield findings.warning(
            'The files of mydriver setup are in place, but a command after it '
            'has not been run, or has failed.', install)


def _is_enabled(host: Host, unit: str) -> bool:
    """Tell whether a unit is wanted by another one."""
    return any(os.path.lexists(folder / unit) for kind in ('wants', 'requires')
               for folder in host.at(catalogue.UNITS).glob(f'*.{kind}'))


def _enable(root: roots.Root, unit: str) -> str:
    """Enable a unit; it is not started.

    :raises OSError: when it cannot be enabled.
    """
    here = [] if root.is_host else [f'--root={root.path}']
    failed = activation.run(command := ['systemctl', *here, 'enable', unit])
    if failed:
        raise OSError(f'{activation.text(command)}: {failed}')
    return activation.text(command)


def _ours(change: planning.Change, install: str,
          fix: Callable[[], str] | None) -> Found:
    what = f'{change.path} {_WORDS[change.state]}'
    if change.found and change.wanted and (
            change.found.content == change.wanted.content):
        what = (f'{change.path} has mode {change.found.mode:04o} instead of '
                f'{change.wanted.mode:04o}')
    return findings.error(f'{what}.', install, fix)


def _owners(root: roots.Root, made: manifest.Manifest) -> Iterator[Found]:
    for path in sorted(made.files):
        found = root.read(path)
        if found is not None and found.uid:
            where = f'{root.path.rstrip("/")}{path}'
            yield findings.error(
                f'{path} belongs to user id {found.uid}, not to root.',
                f'chown -h root:root {shlex.quote(where)}',
                functools.partial(_chown, where))


def _chown(path: str) -> str:
    os.chown(path, 0, 0, follow_symlinks=False)
    return f'chown root:root {path}'


def reinstall(root: roots.Root, kind: str) -> str:
    """Install what is missing or out of date, as ``mydriver setup`` does.

    What somebody has changed is kept. Nothing is started.

    :raises ConfigurationError: when a file cannot be written.
    """
    made = manifest.load(root, kind) or manifest.Manifest(kind)
    chosen = choices.choose(kind, made.options)
    done = installing.install(root, made, catalogue.files(chosen),
                              catalogue.folders(chosen))
    said = [f'{c.state.value} {c.path}' for c in done.changed]
    if activation.is_live(root) and not made.activated:
        commands: Sequence[Sequence[str]] = activation.after_install(
            root, chosen)
        failed = activation.execute(commands)
        said += [activation.text(c) for c in commands]
        said += [f'failed: {activation.text(f.command)}: {f.reason}'
                 for f in failed]
        if not failed:
            made.activated = True
            made.save(root)
    return '; '.join(said) or 'nothing was left to do'


CHECKS = (
    Check('setup-files', findings.BOTH,
          'The files of mydriver setup are in place',
          'They restore exports at boot, let the service become root for its '
          'verbs, and keep other services from clearing the target.',
          _setup_files),
)

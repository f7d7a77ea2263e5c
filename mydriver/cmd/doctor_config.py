# SPDX-License-Identifier: Apache-2.0
"""Checks of ``mydriver doctor`` that use the parts of other commands."""

from collections.abc import Iterator, Sequence
import contextlib
import functools
import json
import os
from pathlib import Path
import pwd
import re
import stat

from mydriver import discovery, exception, model
from mydriver.backend import settings
from mydriver.cmd import backends, option_names, rivals, upgrade_check
from mydriver.doctor import findings, owned
from mydriver.doctor import host as hosts
from mydriver.doctor.findings import Check, Found
from mydriver.doctor.host import Host
from mydriver.hostfiles import choices
from mydriver.target import configfs

#: The module that ``mydriver status`` is run from, in a process of its own:
#: started by root, it becomes another user for good.
STATUS = 'mydriver.cmd.main'

#: How long it may take, seconds.
_STATUS_TIMEOUT_S = 60.0

#: Of a portal, seconds.
_CONNECT_S, _PROBE_S = 2.0, 4.0

_RESTART = 'systemctl restart cinder-volume'
_SERVICES = {choices.STORAGE: 'cinder-volume', choices.COMPUTE: 'nova-compute'}


def _ours(host: Host) -> Sequence[backends.Backend]:
    """Return the backends, none if there is an error that is shown anyway."""
    try:
        return backends.read(host.config(), warns=False)
    except exception.ConfigurationError:
        return ()


def _where(host: Host) -> str:
    return ' '.join(host.files)


def _backends(host: Host) -> Iterator[Found]:
    sections = host.sections()
    enabled = (host.setting('DEFAULT', 'enabled_backends') or '').split(',')
    for name in sorted({n.strip() for n in enabled} - {'', *sections}):
        yield findings.error(
            f'enabled_backends lists {name}, but there is no section '
            f'[{name}].', f'Correct {_where(host)}; {_RESTART}')
    found = backends.read(host.config(), warns=False)
    for backend in found:
        for text in upgrade_check.invalid(backend):
            yield findings.error(text, f'Correct {_where(host)}; {_RESTART}')
    for place, names in _shared(found):
        yield findings.error(
            f'[{"] and [".join(names)}] keep their volumes in the same place, '
            f'{place}.', f'In {_where(host)}, give each backend a place of '
            f'its own; {_RESTART}')
    for path in backends.orphans([b.name for b in found], found):
        yield findings.warning(
            f'{path} is the journal of [{path.parent.name}], which is not an '
            'enabled mydriver backend: its exports are not served.',
            f'Restore the name of the section in {_where(host)}, or else rm '
            f'-r {path.parent}')


def _shared(found: Sequence[backends.Backend]
            ) -> Iterator[tuple[str, list[str]]]:
    """Yield each place that several backends have, and their names."""
    places: dict[str, list[str]] = {}
    for backend in found:
        # Another check reports a store that cannot be built.
        with contextlib.suppress(exception.MyDriverError, ImportError):
            store = settings.store_of(backend.section, backend.name)
            places.setdefault(os.path.realpath(store.location), []).append(
                backend.name)
    yield from ((p, names) for p, names in places.items() if len(names) > 1)


def _options(host: Host) -> Iterator[Found]:
    host.sections()  # the errors of others show the contents of a file
    for text in option_names.concerns(host.config(), (), [
            b.name for b in _ours(host)]):
        yield findings.warning(text, f'Correct {_where(host)}; {_RESTART}')


def _state(host: Host) -> Iterator[Found]:
    for backend in _ours(host):
        path = Path(backend.state_path)
        try:
            status = path.lstat()
        except FileNotFoundError:
            yield findings.info(f'{path} does not exist; cinder-volume '
                                'creates it.')
            continue
        if not stat.S_ISDIR(status.st_mode):
            yield findings.error(
                f'{path} is not a directory.',
                f'Set mydriver_state_path in {_where(host)}; {_RESTART}')
            continue
        if status.st_mode & 0o077:
            yield findings.error(
                f'{path} has mode {status.st_mode & 0o7777:04o}: other users '
                'can get at the journal and the CHAP key.',
                f'chmod 0700 {path}', functools.partial(_chmod, path))
        try:
            # Who else runs the service can only be seen by the directory.
            entry = (pwd.getpwnam(host.user) if host.is_set_up
                     else pwd.getpwuid(status.st_uid))
        except KeyError:
            yield findings.error(
                f'{path} has user id {status.st_uid}, and the service should '
                f'run as {host.user}, but there is no such user.',
                f'mydriver setup {host.kind} --install --user NAME')
            continue
        yield from _owners(path, entry)


def _owners(folder: Path, user: pwd.struct_passwd) -> Iterator[Found]:
    for path in (folder, *sorted(folder.iterdir())):
        status = path.lstat()
        if status.st_uid != user.pw_uid and not stat.S_ISLNK(status.st_mode):
            name = None if path == folder else path.name
            yield findings.error(
                f'{path} belongs to user id {status.st_uid}, so cinder-volume '
                'cannot use it.', f'chown {user.pw_name}: {path}',
                functools.partial(_chown, folder, name, user))


def _chmod(folder: Path) -> str:
    owned.chmod(str(folder), 0o700)
    return f'chmod 0700 {folder}'


def _chown(folder: Path, name: str | None, user: pwd.struct_passwd) -> str:
    owned.chown(str(folder), name, user.pw_uid, user.pw_gid)
    return f'chown {user.pw_name}: {folder / (name or "")}'


def _rivals(host: Host) -> Iterator[Found]:
    for text in rivals.warnings(host.root):
        name = text.split()[0]
        saved = re.search(r'restores (\S+)\. See', text)
        if name.startswith('/'):
            remedy = f'mv {name} {name}.old'
        elif saved:
            remedy = f'mv {saved[1]} {saved[1]}.old'
        else:
            remedy = f'systemctl disable {name}'
        yield findings.warning(text, remedy)


def _portals(host: Host) -> Iterator[Found]:
    folder = host.at('/sys/kernel/config/target')
    if not any(map(model.is_our_target, configfs.names(folder))):
        yield findings.info('There are no targets yet; cinder-volume creates '
                            'them when it starts.')
        return
    for backend in _ours(host):
        if backend.has_gateways:
            continue
        for portal in backend.settings.portals:
            try:
                discovery.probe(portal, _CONNECT_S, _PROBE_S)
            except OSError as e:
                yield findings.error(
                    f'[{backend.name}] Portal {portal} does not answer: '
                    f'{e.strerror or e}.', f'mydriver restore {backend.name}')


def _status(host: Host) -> Iterator[Found]:
    host.sections()  # see above
    answer = hosts.run_module(
        STATUS, ['status', '-f', 'json', *(
            f'--config-file={f}' for f in host.config())], _STATUS_TIMEOUT_S)
    try:
        rows = json.loads(answer.out)
    except ValueError:
        yield findings.error(
            'mydriver status fails: '
            f'{exception.shown(answer.err.strip()[-300:], 300)}',
            'mydriver status')
        return
    for row in rows:
        severity = {'wrong': findings.error, 'warning': findings.warning
                    }.get(row['State'])
        if severity and row['Part'] != 'rivals':
            yield severity(
                f'[{row["Backend"]}] {row["Part"]}: {row["Detail"]}',
                _remedy(row['Backend'], row['Detail']))


def _remedy(backend: str, text: str) -> str:
    """Return what a text of ``mydriver status`` says to run."""
    if 'mydriver restore' in text:
        return f'mydriver restore {backend}'
    command = re.search(r'\b(?:Run|See|Start) ([a-z][^.;]*)', text)
    if command:
        return command[1]
    sentences = re.split(r'(?<=\.)\s+', text)
    return sentences[-1] if len(sentences) > 1 else 'mydriver status'


def _entry_points(host: Host) -> Iterator[Found]:
    for text in upgrade_check.wrong_entry_points():
        yield findings.error(
            text, f'pip install mydriver[{host.kind}]; systemctl restart '
            f'{_SERVICES[host.kind]}')


CHECKS = (
    Check('entry-points', findings.BOTH, 'The services find our entry points',
          'cinder-volume and nova-compute load the driver, the plugin and '
          'their options by them.', _entry_points),
    Check('backends', findings.STORAGE,
          'The enabled backends are configured',
          'cinder-volume does not start a backend whose section is missing or '
          'invalid; the exports of one that was renamed are not restored.',
          _backends),
    Check('options', findings.STORAGE, 'All options of ours have an effect',
          'oslo.config ignores a name that nobody declares, such as one with '
          'a typing error.', _options),
    Check('state-folder', findings.STORAGE,
          'The state belongs to the service alone',
          'The journal says what is exported to whom; without it exports '
          'cannot be restored or changed.', _state),
    Check('rival-services', findings.STORAGE,
          'No other service manages the kernel target',
          'Such a service removes the exports of volumes in use.', _rivals),
    Check('portals', findings.STORAGE, 'The portals answer',
          'Compute hosts log in there.', _portals, 60.0),
    Check('backend-status', findings.STORAGE,
          'Stores, journals and the kernel agree (mydriver status)',
          'A missing export is a disk that a guest has lost; a store that is '
          'not usable takes no new volumes.', _status, _STATUS_TIMEOUT_S + 5),
)

# SPDX-License-Identifier: Apache-2.0
"""Checks of ``mydriver doctor``: configuration, state and entry points."""

from collections.abc import Iterator, Sequence
import functools
import os
from pathlib import Path
import pwd
import shlex
import stat
import sys

from mydriver import exception
from mydriver.cmd import backends, driver_names, option_names, upgrade_check
from mydriver.doctor import abandoned, commands, displaced, findings, owned
from mydriver.doctor.findings import Check, Found
from mydriver.doctor.host import Host


def backends_of(host: Host) -> Sequence[backends.Backend]:
    """Return the backends, none if there is an error that is shown anyway."""
    try:
        return read(host)
    except exception.ConfigurationError:
        return ()


def read(host: Host) -> list[backends.Backend]:
    """Return the backends.

    :raises ConfigurationError: as :func:`.backends.read`.
    """
    files, directories = host.sources()
    return backends.read(files, directories=directories, warns=False)


def edit(host: Host) -> str:
    """Return what opens the configuration and lets the service read it."""
    return f'{commands.edit(host)} && {commands.restart(host)}'


def _backends(host: Host) -> Iterator[Found]:
    yield from _without_section(host)
    wrong = list(driver_names.misspelt(host.sections()))
    for one in wrong:
        yield findings.error(str(one), commands.set_option(
            host, one.section, driver_names.OPTION, backends.DRIVER)
            + f' && {commands.restart(host)}')
    try:
        found = read(host)
    except exception.ConfigurationError:
        if not wrong:
            raise
        return  # there may be no other backend
    for backend in found:
        for text in upgrade_check.invalid(backend):
            yield findings.error(text, edit(host))
    for text in upgrade_check.shared_places(found):
        yield findings.error(text, edit(host))
    names = [*(b.name for b in found), *(one.backend for one in wrong)]
    for path in backends.orphans(names, found):
        yield _orphan(host, path)


def _without_section(host: Host) -> Iterator[Found]:
    """Find enabled backends without a section.

    One that has state, or whose section may have another name, is not to be
    taken off the list.
    """
    sections = host.sections()
    enabled = driver_names.enabled(sections)
    known = [n for n in enabled if n in sections]
    ours = backends_of(host)
    kept = {path.parent.name for path in backends.orphans(
        [b.name for b in ours], ours)}
    renamed = any(driver_names.seems_ours(sections, n)
                  for n in sections if n not in enabled)
    for name in sorted({*enabled} - {*sections}):
        shown = commands.shown(name)
        yield findings.error(
            f'enabled_backends lists {shown}, but there is no section '
            f'[{shown}]. The backend is not started: write its section, or '
            'take it off the list.',
            edit(host) if renamed or name in kept or not known else
            commands.set_option(host, 'DEFAULT', 'enabled_backends',
                                ','.join(known))
            + f' && {commands.restart(host)}')


def _orphan(host: Host, journal: Path) -> Found:
    """Return what is to be done with a journal of no enabled backend.

    The backend is enabled again if it has a section. If its section has
    another driver, or only the list has its name, the operator decides. Else
    its state is moved away. Neither is right while another service has the
    backend.
    """
    state = journal.parent
    what = (f'{commands.shown(journal)} is the journal of '
            f'[{commands.shown(state.name)}], which is not an enabled '
            'mydriver backend of this configuration')
    has_section = host.setting(state.name, 'volume_driver') == backends.DRIVER
    sections = host.sections()
    is_named = state.name in (*sections, *driver_names.enabled(sections))
    doubt = abandoned.doubt(state) or (
        '' if is_named else abandoned.exported(host, state.name))
    if doubt:
        return findings.unknown(
            f'{what}. Another cinder-volume of this host may have it, with '
            f'another configuration: {doubt}. Do not move or enable it '
            'before you know.',
            commands.as_root(host) if os.geteuid() else '')
    return findings.warning(
        f'{what}: its exports are not served. If the section was renamed, '
        'restore its name; if the backend is gone for good, move its state '
        'away.', _enable(host, state.name) if has_section
        else edit(host) if is_named else abandoned.put_away(host, state))


def _enable(host: Host, name: str) -> str:
    """Return what enables a backend whose section is there."""
    names = driver_names.enabled(host.sections())
    return commands.set_option(host, 'DEFAULT', 'enabled_backends', ','.join(
        [*names, name])) + f' && {commands.restart(host)}'


def _options(host: Host) -> Iterator[Found]:
    host.sections()  # the errors of others show the contents of a file
    for concern in option_names.concerns(host.config(), (), [
            b.name for b in backends_of(host)]):
        yield findings.warning(str(concern), _correction(host, concern))


def _correction(host: Host, concern: option_names.Concern) -> str:
    """Return what mends an option that has no effect.

    It gets its right name, or becomes a comment, which changes nothing. But
    in a section that has no effect itself it is kept: that may be the section
    of a backend which is to have an effect again.
    """
    if concern.is_unknown:
        return f'{_renamed(host, concern)} && {commands.restart(host)}'
    section, ours = concern.section, backends_of(host)
    enabled = driver_names.enabled(host.sections())
    state = {path.parent.name: path.parent for path in backends.orphans(
        [b.name for b in ours], ours)}.get(section)
    can_be_enabled = (
        state and section not in enabled
        and host.setting(section, 'volume_driver') == backends.DRIVER
        and not abandoned.doubt(state))
    return _enable(host, section) if can_be_enabled else commands.edit(host)


def _renamed(host: Host, concern: option_names.Concern) -> str:
    """Return what gives an option its right name, or makes it a comment."""
    section, name, right = concern.section, concern.name, concern.right
    if right and right not in host.sections().get(section, {}):
        return commands.rename_option(host, section, name, right)
    return commands.disable_option(host, section, name)


def _state(host: Host) -> Iterator[Found]:
    for backend in backends_of(host):
        path = Path(backend.state_path)
        try:
            status = path.lstat()
        except FileNotFoundError:
            yield findings.info(f'{path} does not exist; cinder-volume '
                                'creates it.')
            continue
        if stat.S_ISLNK(status.st_mode):
            # Without it the service would begin a new journal.
            yield findings.error(
                f'{path} is a link. Name the directory that it leads to in '
                'mydriver_state_path.', edit(host))
            continue
        if not stat.S_ISDIR(status.st_mode):
            yield findings.error(
                f'{path} is not a directory. Move it away, or name another '
                'directory in mydriver_state_path.',
                f'{displaced.move(str(path), ".old")} && '
                f'{commands.restart(host)}')
            continue
        if status.st_mode & 0o077:
            yield findings.error(
                f'{path} has mode {status.st_mode & 0o7777:04o}: other users '
                'can get at the journal and the CHAP key.',
                owned.inside(path, 'chmod 0700 .'),
                functools.partial(_chmod, path))
        try:
            # Who else runs the service can only be seen by the directory.
            entry = (pwd.getpwnam(host.user) if host.is_set_up
                     else pwd.getpwuid(status.st_uid))
        except KeyError:
            yield findings.error(
                f'{path} has user id {status.st_uid}, and the service should '
                f'run as {host.user}, but there is no such user.',
                commands.add_user(host))
            continue
        yield from _owners(path, entry)


def _owners(folder: Path, user: pwd.struct_passwd) -> Iterator[Found]:
    for path in (folder, *sorted(folder.iterdir())):
        status = path.lstat()
        if status.st_uid != user.pw_uid and not stat.S_ISLNK(status.st_mode):
            name = None if path == folder else path.name
            yield findings.error(
                f'{commands.shown(path)} belongs to user id {status.st_uid}, '
                'so cinder-volume cannot use it.'
                + (' It is not a file with one name, so look at it first.'
                   if name and not owned.is_plain(status) else ''),
                _chown_command(folder, name, status, user),
                functools.partial(_chown, folder, name, user))


def _chown_command(folder: Path, name: str | None, status: os.stat_result,
                   user: pwd.struct_passwd) -> str:
    """Return what gives a file, or its directory, to a user.

    The command obeys the name as little as :func:`.owned.chown` does.

    :param name: of the file; None for the directory.
    """
    chown = f'chown -h {shlex.quote(user.pw_name)}:'
    if name is None:
        return owned.inside(folder, f'{chown} .')
    if not owned.is_plain(status):
        return ''
    if not name.isprintable():
        return owned.FIX
    return owned.inside(folder, f'find {shlex.quote(f"./{name}")} -prune '
                        f'-type f -links 1 -exec {chown} {{}} +')


def _chmod(folder: Path) -> str:
    owned.chmod(str(folder), 0o700)
    return f'chmod 0700 {folder}'


def _chown(folder: Path, name: str | None, user: pwd.struct_passwd) -> str:
    owned.chown(str(folder), name, user.pw_uid, user.pw_gid)
    return f'chown {user.pw_name}: {folder / (name or "")}'


def _entry_points(host: Host) -> Iterator[Found]:
    for text in upgrade_check.wrong_entry_points():
        yield findings.error(
            text, f'{shlex.quote(sys.executable)} -m pip install '
            f"'mydriver[{host.kind}]' && {commands.restart(host)}")


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
)

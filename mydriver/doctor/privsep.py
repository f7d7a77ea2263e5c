# SPDX-License-Identifier: Apache-2.0
"""Check that the service can start its privileged daemon."""

from collections.abc import Iterator
import itertools
import os
import pwd
import re
import shlex

from mydriver.doctor import commands, findings, ping
from mydriver.doctor import host as hosts
from mydriver.doctor.findings import Check, Found
from mydriver.doctor.host import Host
from mydriver.hostfiles import catalogue, choices, manifest, planning
from mydriver.hostfiles import privsep as rules

#: What sudo says if it may not run the command without a password.
_REFUSALS = ('password is required', 'a terminal is required', 'not allowed',
             'not in the sudoers', 'Sorry, user')
#: The file that has to include the directory of our rule; sudo before 1.9.1
#: knows only the second form of the line.
_SUDOERS = '/etc/sudoers'
_INCLUDE = f'@includedir {catalogue.SUDOERS}'
_INCLUDES = re.compile(
    rf'^\s*[@#]includedir\s+"?{catalogue.SUDOERS}/?"?\s*$', re.MULTILINE)
_ABSENT = ('command not found', ': not found', 'No such file')

#: Of the whole attempt, seconds; the verb has less. It starts three programs,
#: and a host that needs mending may be a busy one.
_TIMEOUT_S = 45.0

#: What oslo.privsep puts before a line of the helper.
_LOGGED = 'privsep log: '
_SHOWN_CHARACTERS = 300

_MODULE = 'mydriver.doctor.ping'


def _privsep(host: Host) -> Iterator[Found]:
    section = rules.section(host.kind)
    command = host.setting(section, 'helper_command')
    if host.user == 'root' and not command:
        return
    try:
        words = shlex.split(command or 'sudo privsep-helper')
    except ValueError as e:  # a quote without its end
        yield findings.error(
            f'Configuration: [{section}] helper_command is no command of a '
            f'shell: {e}.', _set_command(host, section))
        return
    problems = list(_static(host, section, command, words))
    yield from problems
    if all(p.severity is not findings.Severity.ERROR for p in problems):
        yield from _attempt(host, section)


def _static(host: Host, section: str, command: str | None, words: list[str]
            ) -> Iterator[Found]:
    """Check the setting, and that what it names is there."""
    where = f'[{section}] helper_command'
    config = host.config()
    sample = _set_command(host, section)
    if command is None:
        yield findings.warning(
            f'Configuration: {where} is not set, so oslo.privsep runs sudo '
            'privsep-helper, which the rule of mydriver setup does not '
            'allow.', sample)
        return
    is_sudo = os.path.basename(words[0]) == 'sudo' if words else False
    if not words or (is_sudo and len(words) < 2):
        yield findings.error(f'Configuration: {where} names no program.',
                             sample)
        return
    if is_sudo and hosts.program(words[0]) is None:
        yield findings.error(
            f'sudo: {words[0]} of {where} is not installed.',
            'apt-get install sudo  # or dnf install sudo')
    helper = next((w for w in words[is_sudo:] if not w.startswith('-')),
                  words[0])
    there = (host.at(helper) if os.path.isabs(helper)
             else hosts.program(helper))
    if there is None or not os.access(there, os.X_OK):
        yield findings.error(
            f'Path: {helper} of {where} is not an executable file.',
            f'{commands.install(host)} && {sample}')
    named = [str(host.at(v)) for n, v in itertools.pairwise(words)
             if n == '--config-file']
    if named and [f for f in named if f not in config]:
        yield findings.error(
            f'Configuration: {where} names {", ".join(named)}, but the '
            f'service reads {", ".join(config) or "no file"}.', sample)


def _attempt(host: Host, section: str) -> Iterator[Found]:
    """Start the daemon as the service's user, and call a verb."""
    try:
        uid = pwd.getpwnam(host.user).pw_uid
    except KeyError:
        yield findings.error(
            f'There is no user {host.user}, which the service should run as.',
            commands.add_user(host))
        return
    if os.geteuid() not in (0, uid):
        yield findings.unknown(
            f'Only root and {host.user} can start the daemon.',
            commands.as_root(host))
        return
    answer = hosts.run_module(
        _MODULE, [host.kind, *host.config()], _TIMEOUT_S,
        None if os.geteuid() == uid else host.user)
    if answer.status:
        yield _judge(host, section, _said(answer), _remedy(host, section))


def _said(answer: hosts.Answer) -> str:
    """Return why it failed.

    The helper's last line, if it did not start; those before may be warnings.
    """
    lines = [line.removeprefix(_LOGGED).strip() for line in
             answer.err.splitlines() if line.startswith(_LOGGED)]
    if answer.status == ping.NOT_STARTED and any(lines):
        return next((line for line in lines if any(
            text in line for text in _REFUSALS)),
            [line for line in lines if line][-1])
    return answer.out.strip() or answer.err.strip()


def _judge(host: Host, section: str, said: str, remedy: str) -> Found:
    """Say whether sudo, the path or the configuration is wrong.

    :param said: what the helper said, or the error.
    """
    shown = said[-_SHOWN_CHARACTERS:]
    if any(text in said for text in _REFUSALS):
        return findings.error(
            f'sudo: {host.user} may not run helper_command of [{section}]: '
            f'{shown}{_why(host, remedy)}', _of_sudo(host, remedy))
    if any(text in said for text in _ABSENT):
        return findings.error(
            f'Path: helper_command of [{section}] cannot be run: {shown}',
            remedy)
    return findings.error(
        f'Configuration: the daemon of [{section}] does not work: {shown}',
        commands.of_text(said) or _set_command(host, section))


def _why(host: Host, remedy: str) -> str:
    """Return why sudo does not heed a rule that is right, if that is known."""
    if _is_read(host) or remedy != commands.install(host):
        return ''
    return (f'. {_SUDOERS} does not have the line "{_INCLUDE}", without which '
            'sudo does not read the rule of mydriver setup')


def _of_sudo(host: Host, remedy: str) -> str:
    """Return what makes sudo heed the rule.

    :param remedy: what makes the rule right; it changes nothing if it is.
    """
    if remedy != commands.install(host):
        return remedy
    if not _is_read(host):
        visudo = f'visudo  # add the line: {_INCLUDE}'
        return visudo if _is_installed(host) else f'{remedy} && {visudo}'
    # Another rule, after ours, may take the permission back.
    return (f'sudo -l -U {shlex.quote(host.user)} && visudo'
            if _is_installed(host) else remedy)


def _is_read(host: Host) -> bool:
    """Tell whether sudo reads the directory of our rule, if that is known."""
    try:
        text = host.text(_SUDOERS)
    except OSError:
        return True  # only root can read it
    return text is None or _INCLUDES.search(text) is not None


def _is_installed(host: Host) -> bool:
    """Tell whether our rule is as ``mydriver setup`` installs it."""
    root = host.filesystem()
    made = manifest.load(root, host.kind)
    if made is None:
        return False
    files = catalogue.files(choices.choose(host.kind, made.options))
    return not any(
        change.state is not planning.State.SAME
        for change in planning.plan(root, made, files)
        if change.path.startswith(f'{catalogue.SUDOERS}/'))


def _remedy(host: Host, section: str) -> str:
    """Return what makes sudo's rule and the setting agree."""
    install = commands.install(host)
    root = host.filesystem()
    made = manifest.load(root, host.kind)
    if made is None:
        return install
    if host.setting(section, 'helper_command') != _right(host):
        return _set_command(host, section)
    files = catalogue.files(choices.choose(host.kind, made.options))
    is_kept = any(
        change.state in (planning.State.CHANGED, planning.State.FOREIGN)
        for change in planning.plan(root, made, files)
        if change.path.startswith(f'{catalogue.SUDOERS}/'))
    return f'{install} --force  # keeps a copy' if is_kept else install


def _right(host: Host) -> str:
    """Return the setting that sudo's rule of ``mydriver setup`` allows."""
    made = manifest.load(host.filesystem(), host.kind)
    options = made.options if made else {
        'user': host.user, 'config_file': list(host.files)}
    return rules.helper_command(choices.choose(host.kind, options))


def _set_command(host: Host, section: str) -> str:
    """Return what makes the setting the right one."""
    return (commands.set_option(host, section, 'helper_command', _right(host))
            + f' && {commands.restart(host)}')


CHECKS = (
    Check('privsep', findings.BOTH,
          'The privileged daemon starts and answers',
          'Without it no volume can be exported, attached or detached.',
          _privsep, _TIMEOUT_S + 5),
)

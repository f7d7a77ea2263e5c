# SPDX-License-Identifier: Apache-2.0
"""Let the running system use the files, or say what remains to be done."""

from collections.abc import Callable, Sequence
import dataclasses
import os
from pathlib import Path
import posixpath
import shlex
import shutil
import stat
import subprocess

from mydriver import permissions
from mydriver.hostfiles import catalogue, manifest
from mydriver.hostfiles import choices as chosen
from mydriver.hostfiles import root as roots

#: Exists where systemd is the first process, sd_booted(3).
SYSTEMD = '/run/systemd/system'

#: Exists where udev runs, udevadm(8).
UDEV_CONTROL = '/run/udev/control'

_TIMEOUT_S = 120.0

#: States of a unit that does nothing, and will do nothing.
_ENDED = ('inactive', 'failed')

#: Runs a command; returns what it said if it failed.
Run = Callable[[Sequence[str]], str | None]


def is_live(root: roots.Root) -> bool:
    """Tell whether commands can change the system that a root belongs to."""
    return root.is_host and os.path.isdir(SYSTEMD)


def run(command: Sequence[str]) -> str | None:
    """Run a command; return why it failed, or None."""
    try:
        done = subprocess.run(command, check=False, capture_output=True,
                              text=True, errors='replace',
                              timeout=_TIMEOUT_S)
    except (OSError, subprocess.TimeoutExpired) as e:
        return str(e)
    if done.returncode:
        return (' '.join(done.stderr.split())
                or f'exit status {done.returncode}')
    return None


def after_install(root: roots.Root, choices: chosen.Choices
                  ) -> list[list[str]]:
    """Return the commands after an installation, in their order."""
    units = catalogue.units(choices)
    here = [] if root.is_host else [f'--root={root.path}']
    commands = [] if here else [['modprobe', '-a',
                                 *catalogue.modules(choices)]]
    if choices.kind == chosen.STORAGE and not here:
        commands.append(['systemctl', 'daemon-reload'])
    if units:
        commands.append(['systemctl', *here, 'enable', *units])
    if choices.gateway and not here:
        commands += _reload_udev()
    return commands


def after_remove(root: roots.Root, made: Sequence[str]) -> list[list[str]]:
    """Return the commands after files have been removed.

    :param made: their paths.
    """
    commands = []
    if root.is_host and any(p.startswith(catalogue.UNITS) for p in made):
        commands.append(['systemctl', 'daemon-reload'])
    if root.is_host and any(p.startswith(catalogue.UDEV) for p in made):
        commands += _reload_udev()
    return commands


def steps_after_remove(root: roots.Root, removed: Sequence[str]
                       ) -> list[str]:
    """Return what the removal leaves to the operator, a sentence each.

    :param removed: paths of the files that are gone or restored.
    """
    if root.is_host and any(
            p.startswith(catalogue.MULTIPATH) for p in removed):
        # Not by this command: guests may be using maps.
        return ['systemctl reload multipathd, which still has the settings']
    return []


def _reload_udev() -> list[list[str]]:
    return ([['udevadm', 'control', '--reload']]
            if os.path.exists(UDEV_CONTROL) else [])


def runs_gateway(made: manifest.Manifest) -> bool:
    """Tell whether the gateway whose unit we made runs or is to run."""
    if catalogue.GATEWAY_UNIT not in made.files:
        return False
    found = subprocess.run(
        ['systemctl', 'is-active', catalogue.GATEWAY], check=False,
        capture_output=True, text=True, timeout=_TIMEOUT_S)
    return found.stdout.strip() not in _ENDED


def manual_steps(root: roots.Root, choices: chosen.Choices) -> list[str]:
    """Return what this command leaves to the operator, a sentence each."""
    first = choices.config_files[0]
    service = 'cinder' if choices.kind == chosen.STORAGE else 'nova'
    sample = f'{catalogue.SAMPLES}/{service}.conf.sample'
    steps = [f'Copy what you need of {sample} to {first}']
    # First what leads there: whoever has a folder decides what is in it.
    helper = _replaceable(root, choices.helper)
    steps += [f'{path} can be changed by others than root, who would become '
              f'root by it: {_to_root(root, path, choices.user, False)}'
              for path in helper]
    # The service's packages often give its folder to its user.
    folders = {path: None for file in choices.config_files
               for path in _replaceable(root, posixpath.dirname(file))}
    steps += [f'{path} can be changed by others than root, who could replace '
              'a file that the privileged daemon reads: '
              + _to_root(root, path, choices.user)
              for path in folders if path not in helper]
    steps.append(f'Give {first} to root: '
                 + _to_root(root, first, choices.user))
    if not restricts_lvm(root):
        steps.append(
            'Keep LVM away from the disks of guests: list the disks of this '
            'host in global_filter of /etc/lvm/lvm.conf, or use a devices '
            'file. LVM has no directory for additional settings')
    if choices.kind == chosen.COMPUTE:
        steps.append('systemctl enable --now iscsid multipathd; systemctl '
                     'reload multipathd')
        steps.append('Restart nova-compute')
    else:
        if choices.restores:
            steps.append('Restart cinder-volume, and check it with '
                         f'{choices.program} status')
        if choices.gateway:
            steps.append(f'systemctl start {catalogue.GATEWAY}, once '
                         'cinder-volume has been started with the backend')
    return steps


def restricts_lvm(root: roots.Root) -> bool:
    """Tell whether LVM's configuration limits the disks that it scans.

    There is nothing to restrict where LVM is not installed.
    """
    folder = os.path.join(root.path, 'etc/lvm')
    program = shutil.which('lvmconfig', path=os.pathsep.join(
        [os.environ.get('PATH', ''), '/usr/sbin:/sbin']))
    if not os.path.isdir(folder) or program is None:
        return not os.path.isdir(folder)
    environment = {'LVM_SYSTEM_DIR': folder, 'LC_ALL': 'C',
                   'LVM_SUPPRESS_FD_WARNINGS': '1'}
    for kind, setting, right in (
            ('current', 'devices/global_filter', 'global_filter='),
            ('current', 'devices/filter', 'filter='),
            ('full', 'devices/use_devicesfile', 'use_devicesfile=1')):
        done = subprocess.run(
            [program, '--typeconfig', kind, setting], check=False,
            capture_output=True, text=True, errors='replace',
            timeout=_TIMEOUT_S, env=environment)
        if not done.returncode and done.stdout.startswith(right):
            return True
    return False


def text(command: Sequence[str]) -> str:
    """Return a command as an operator would type it."""
    return shlex.join(command)


def _to_root(root: roots.Root, path: str, user: str, is_secret: bool = True
             ) -> str:
    """Return what gives a path to root, but lets the service go on with it."""
    base = '' if root.is_host else root.path
    real = os.path.realpath(base + path)
    try:
        found = os.stat(real)
    except OSError:
        found = None
    if real.startswith(f'{base}/'):
        path = real.removeprefix(base)
    return permissions.for_user(path, found, user, is_here=root.is_host,
                                is_secret=is_secret)


def _replaceable(root: roots.Root, program: str) -> list[str]:
    """Return which of a program and its directories others can replace.

    :returns: paths, the outermost one first.
    """
    found = []
    path = program
    while True:
        try:
            status = Path(root.path + path).stat()
        except OSError:
            status = None
        if status is not None and (
                status.st_uid not in (0, os.geteuid())
                or (status.st_mode & (stat.S_IWGRP | stat.S_IWOTH)
                    and not status.st_mode & stat.S_ISVTX)):
            found.append(path)
        if path == '/':
            return found[::-1]
        path = posixpath.dirname(path)


@dataclasses.dataclass(frozen=True, slots=True)
class Failed:
    """A command that failed.

    :param command: the command.
    :param reason: what it said.
    """

    command: Sequence[str]
    reason: str


def execute(commands: Sequence[Sequence[str]], run_one: Run = run
            ) -> list[Failed]:
    """Run commands; return those that failed."""
    return [Failed(c, why) for c in commands
            if (why := run_one(c)) is not None]

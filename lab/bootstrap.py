#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Prepare a Debian 12 machine for the lab: packages, then ``.lab/venv``.

Standard library only: it runs before anything is installed, with whatever
``python3`` there is. Each step looks first and does only what is missing, so
that the second run costs a fraction of a second.

Outside of ``.lab/`` it installs Debian packages, and nothing that came with
them stays started or enabled: see :func:`no_services`.
"""

import argparse
from collections.abc import Iterator
import contextlib
import fcntl
import hashlib
import os
from pathlib import Path
import re
import shutil
import subprocess
import sys
import time

ROOT = Path(__file__).resolve().parent.parent
STATE = ROOT / '.lab'
VENV = STATE / 'venv'
STAMP = VENV / 'mydriver-lab.stamp'
CONSTRAINTS = ROOT / 'constraints.txt'
REQUIREMENTS = ROOT / 'lab' / 'requirements.txt'

#: What decides about the content of the virtual environment.
INPUTS = (CONSTRAINTS, REQUIREMENTS, ROOT / 'pyproject.toml',
          ROOT / 'setup.cfg')

#: Debian's way to keep package scripts from starting services
#: (/usr/share/doc/init-system-helpers/README.policy-rc.d.gz).
POLICY = Path('/usr/sbin/policy-rc.d')
POLICY_TEXT = ('#!/bin/sh\n'
               '# Made by lab/bootstrap.py of mydriver while it installs '
               'packages;\n# safe to remove.\nexit 101\n')


class BootstrapError(Exception):
    """A step failed; the text says which and what to do."""


def say(text: str) -> None:
    """Print one line of progress."""
    print(f'bootstrap: {text}', flush=True)


def run(*command: str, env: dict[str, str] | None = None) -> None:
    """Run a command; its output is shown only when it fails.

    :param env: variables to add to the environment.
    :raises BootstrapError: when it is missing or fails.
    """
    try:
        subprocess.run(command, check=True, stdin=subprocess.DEVNULL,
                       stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                       text=True, errors='replace',
                       env={**os.environ, **(env or {})})
    except FileNotFoundError as e:
        raise BootstrapError(f'{command[0]} is not installed') from e
    except subprocess.CalledProcessError as e:
        raise BootstrapError(f'{" ".join(command)}: exit status '
                             f'{e.returncode}\n{e.stdout}') from e


@contextlib.contextmanager
def step(what: str) -> Iterator[None]:
    """Say what is done, and how long it took."""
    say(f'{what} ...')
    start = time.monotonic()
    yield
    say(f'{what}: {time.monotonic() - start:.1f} s')


def debian_packages(text: str) -> list[str]:
    """Return the packages that ``bindep.txt`` names for Debian.

    :param text: lines ``NAME [SELECTOR...]``; all profiles are taken.
    """
    names = []
    for line in text.splitlines():
        match = re.match(r'([a-z0-9][a-z0-9.+-]*)\s+\[([^]]*)\]', line)
        if match and 'platform:dpkg' in match[2].split():
            names.append(match[1])
    return names


def missing_packages(names: list[str]) -> list[str]:
    """Return those of ``names`` that are not installed.

    :raises BootstrapError: when this is not a Debian system.
    """
    try:
        shown = subprocess.run(
            ['dpkg-query', '-W', '-f', '${Package} ${db:Status-Status}\n',
             *names], capture_output=True, text=True, check=False)
    except FileNotFoundError as e:
        raise BootstrapError(
            'dpkg-query is not there: the lab needs Debian 12') from e
    have = {line.split()[0] for line in shown.stdout.splitlines()
            if line.split()[1:] == ['installed']}
    return [name for name in names if name not in have]


def enabled_units() -> set[str]:
    """Return the systemd units that start at boot; works without systemd up.

    :returns: unit file names; empty where systemd is not installed.
    """
    if not shutil.which('systemctl'):
        return set()
    shown = subprocess.run(
        ['systemctl', '--root=/', 'list-unit-files', '--state=enabled',
         '--no-legend', '--no-pager'],
        capture_output=True, text=True, check=False)
    return {line.split()[0] for line in shown.stdout.splitlines() if line}


@contextlib.contextmanager
def no_services() -> Iterator[None]:
    """Let packages be installed without a service of theirs coming with them.

    While it lasts a policy-rc.d denies every start; an administrator's own
    is left in force instead. Afterwards every unit that the installation
    enabled is disabled, and stopped, should it run all the same. What was
    enabled before stays so.
    """
    before = enabled_units()
    if POLICY.exists() and POLICY.read_text() == POLICY_TEXT:
        POLICY.unlink()  # left by a run that was killed
    ours = not POLICY.exists()
    if ours:
        POLICY.write_text(POLICY_TEXT)
        POLICY.chmod(0o755)
    try:
        yield
    finally:
        if ours:
            POLICY.unlink(missing_ok=True)
        disable(sorted(enabled_units() - before))


def disable(units: list[str]) -> None:
    """Disable units, and stop them where systemd is running."""
    if not units:
        return
    say(f'disabling what the packages enabled: {" ".join(units)}')
    if Path('/run/systemd/system').is_dir():
        run('systemctl', '--quiet', 'disable', '--now', *units)
    else:
        run('systemctl', '--quiet', '--root=/', 'disable', *units)


def install_packages(names: list[str]) -> None:
    """Install Debian packages, asking nothing, starting nothing.

    :raises BootstrapError: when not root, or when apt fails.
    """
    if os.geteuid() != 0:
        raise BootstrapError('Debian packages are missing and only root can '
                             f'install them: {" ".join(names)}')
    env = {'DEBIAN_FRONTEND': 'noninteractive'}
    apt = ('apt-get', '-q', '-y', '-o', 'DPkg::Lock::Timeout=600',
           '-o', 'Dpkg::Options::=--force-confold')
    with step(f'installing {len(names)} Debian packages'), no_services():
        run(*apt, 'update', env=env)
        run(*apt, 'install', '--no-install-recommends', *names, env=env)


def pick_python() -> str:
    """Return the interpreter for the environment: Debian's own, if it will do.

    libvirt-python is built against Debian's headers, and Debian's python3 is
    the same on each machine.

    :raises BootstrapError: when none is new enough.
    """
    question = ('import sys, ensurepip, venv; '
                'sys.exit(sys.version_info < (3, 11))')
    for path in ('/usr/bin/python3', sys.executable):
        if not Path(path).exists():
            continue
        probe = subprocess.run([path, '-c', question], capture_output=True,
                               check=False)
        if probe.returncode == 0:
            return path
    raise BootstrapError('no python3 of at least 3.11 with venv was found')


def stamp() -> str:
    """Return a text that changes whenever the environment has to."""
    digest = hashlib.sha256()
    for path in INPUTS:
        digest.update(path.read_bytes() + b'\0')
    config = VENV / 'pyvenv.cfg'
    version = re.search(r'^version *= *(\S+)', config.read_text(), re.M) \
        if config.exists() else None
    return (f'{digest.hexdigest()} python {version[1] if version else "-"} '
            f'{ROOT}\n')


def venv_works() -> bool:
    """Tell whether the environment's interpreter starts, here at this path."""
    python = VENV / 'bin' / 'python'
    if not python.exists():
        return False
    probe = subprocess.run(
        [str(python), '-c', 'import sys; print(sys.prefix)'],
        capture_output=True, text=True, check=False)
    return probe.returncode == 0 and probe.stdout.strip() == str(VENV)


def pinned(name: str) -> str:
    """Return ``NAME==VERSION`` as ``constraints.txt`` has it.

    :raises BootstrapError: when it is not there.
    """
    for line in CONSTRAINTS.read_text().splitlines():
        if line.startswith(f'{name}=='):
            return line.strip()
    raise BootstrapError(f'{CONSTRAINTS.name} does not pin {name}')


def make_venv() -> None:
    """Create ``.lab/venv`` where it is missing or broken."""
    if venv_works():
        return
    with step('creating .lab/venv'):
        run(pick_python(), '-m', 'venv', '--clear', str(VENV))


def fill_venv() -> None:
    """Install the pinned set and the project itself, editable.

    Settings of pip and uv in the environment hold as they are. Byte code is
    compiled here once: kernel nodes start Python often, and slowly.
    """
    python = str(VENV / 'bin' / 'python')
    uv = str(VENV / 'bin' / 'uv')
    limits = ('-c', str(CONSTRAINTS))
    with step('installing uv'):
        run(python, '-m', 'pip', 'install', '-q', pinned('uv'))
    with step('installing the pinned set'):
        run(uv, 'pip', 'install', '--python', python, '--compile-bytecode',
            *limits, '--build-constraint', str(CONSTRAINTS),
            '-r', str(REQUIREMENTS))
    with step('installing the project, editable'):
        run(uv, 'pip', 'install', '--python', python, '--compile-bytecode',
            *limits, '--no-build-isolation', '-e',
            f'{ROOT}[storage,compute]')


def prepare() -> None:
    """Do whatever is missing; nothing when all is there."""
    os.environ.pop('PYTHONDONTWRITEBYTECODE', None)
    STATE.mkdir(exist_ok=True)
    with open(STATE / 'bootstrap.lock', 'w') as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        missing = missing_packages(
            debian_packages((ROOT / 'bindep.txt').read_text()))
        if missing:
            install_packages(missing)
        if STAMP.exists() and STAMP.read_text() == stamp() and venv_works():
            return
        make_venv()
        STAMP.unlink(missing_ok=True)
        fill_venv()
        STAMP.write_text(stamp())


def main() -> int:
    """Run from the command line; returns the exit status."""
    argparse.ArgumentParser(description=__doc__.splitlines()[0]).parse_args()
    start = time.monotonic()
    try:
        prepare()
    except BootstrapError as e:
        print(f'bootstrap: {e}', file=sys.stderr)
        return 1
    took = time.monotonic() - start
    if took > 1:
        say(f'ready after {took:.0f} s')
    return 0


if __name__ == '__main__':
    sys.exit(main())

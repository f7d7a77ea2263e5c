# SPDX-License-Identifier: Apache-2.0
"""Debian's packages: those that are missing, and none of their services."""

from collections.abc import Iterator
import contextlib
import os
from pathlib import Path
import re
import shutil
import subprocess

from lab.bootstrap import steps

#: Debian's way to keep package scripts from starting services
#: (/usr/share/doc/init-system-helpers/README.policy-rc.d.gz).
POLICY = Path('/usr/sbin/policy-rc.d')
POLICY_TEXT = ('#!/bin/sh\n'
               '# Made by lab/bootstrap of mydriver while it installs '
               'packages;\n# safe to remove.\nexit 101\n')


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

    :raises steps.BootstrapError: when this is not a Debian system.
    """
    try:
        shown = subprocess.run(
            ['dpkg-query', '-W', '-f', '${Package} ${db:Status-Status}\n',
             *names], capture_output=True, text=True, check=False)
    except FileNotFoundError as e:
        raise steps.BootstrapError(
            'dpkg-query is missing: the lab needs Debian 12') from e
    have = {line.split()[0] for line in shown.stdout.splitlines()
            if line.split()[1:] == ['installed']}
    return [name for name in names if name not in have]


def enabled_units() -> set[str]:
    """Return the systemd units that start at boot, be systemd running or not.

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
    """Install packages in this context without starting their services.

    Until it ends, a policy-rc.d denies every start; one that an administrator
    has made stays in force instead. Afterwards every unit that the
    installation enabled is disabled, and stopped if it runs. Units that were
    enabled before stay enabled.
    """
    before = enabled_units()
    if POLICY.exists() and POLICY.read_text() == POLICY_TEXT:
        POLICY.unlink()  # left by a steps.run that was killed
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
    """Disable units; also stop them if systemd is running."""
    if not units:
        return
    steps.say(f'disabling units that the packages enabled: {" ".join(units)}')
    if Path('/run/systemd/system').is_dir():
        steps.run('systemctl', '--quiet', 'disable', '--now', *units)
    else:
        steps.run('systemctl', '--quiet', '--root=/', 'disable', *units)


def install_packages(names: list[str]) -> None:
    """Install Debian packages without questions and without services.

    :raises steps.BootstrapError: when not root, or when apt fails.
    """
    if os.geteuid() != 0:
        raise steps.BootstrapError(
            'Debian packages are missing and only root can install them: '
            f'{" ".join(names)}')
    env = {'DEBIAN_FRONTEND': 'noninteractive'}
    apt = ('apt-get', '-q', '-y', '-o', 'DPkg::Lock::Timeout=600',
           '-o', 'Dpkg::Options::=--force-confold')
    with steps.step(f'installing {len(names)} Debian packages'), no_services():
        steps.run(*apt, 'update', env=env)
        steps.run(*apt, 'install', '--no-install-recommends', *names, env=env)

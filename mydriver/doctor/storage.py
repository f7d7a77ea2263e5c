# SPDX-License-Identifier: Apache-2.0
"""Checks for storage hosts that need no configuration."""

from collections.abc import Iterator
import shlex

from mydriver.doctor import findings
from mydriver.doctor.findings import Check, Found
from mydriver.doctor.host import Host
from mydriver.target import configfs

_CONFIGFS = '/sys/kernel/config'


def _configfs(host: Host) -> Iterator[Found]:
    mounts = [line.split(' ')[1:3] for line in
              (host.text('/proc/mounts') or '').splitlines()]
    if [_CONFIGFS, 'configfs'] not in mounts:
        yield findings.error(
            f'configfs is not mounted at {_CONFIGFS}.',
            f'mount -t configfs configfs {_CONFIGFS}')


def _dbroot(host: Host) -> Iterator[Found]:
    folder = configfs.database(host.at(f'{_CONFIGFS}/target'))
    if not folder:
        yield findings.info('The kernel target is not loaded, so its '
                            'directory is not known.')
    elif not configfs.exists(host.at(f'{folder}/pr')):
        yield findings.error(
            f'{folder}/pr does not exist, so persistent reservations of '
            'guests fail.',
            f'install -d -m 0700 {shlex.quote(f"{folder}/pr")}')
    elif not host.at(f'{folder}/pr').is_dir():
        yield findings.error(
            f'{folder}/pr is not a directory, so persistent reservations of '
            'guests fail. Find out what it is for.',
            shlex.join(['ls', '-ld', f'{folder}/pr']))


CHECKS = (
    Check('configfs', findings.STORAGE, 'configfs is mounted',
          'The kernel target is set up through it.', _configfs),
    Check('target-dbroot', findings.STORAGE,
          "The kernel target's own directory exists",
          'The kernel stores persistent reservations there, which clusters '
          'of guests rely on.', _dbroot),
)

# SPDX-License-Identifier: Apache-2.0
"""Commands that move away what is in the place of something else."""

import os
import shlex

from mydriver import exception
from mydriver.doctor.host import Host
from mydriver.hostfiles import catalogue, choices, manifest, planning


def free(path: str) -> str:
    """Return a name that nothing has: this one, or one with a number."""
    name, number = path, 1
    while os.path.lexists(name):
        number += 1
        name = f'{path}.{number}'
    return name


def move(path: str, end: str) -> str:
    """Return what renames a file, a directory or a link.

    :param end: of the new name.
    """
    return (f'mv -nT {shlex.quote(path)} '
            f'{shlex.quote(free(f"{path}{end}"))}')


def by_setup(host: Host, path: str) -> str | None:
    """Return what puts a file of ours where a link or a directory is.

    :param path: of something, with the host's root in front.
    :returns: None if a file is there, or if it is no place of a file of ours.
    """
    if not (os.path.islink(path) or os.path.isdir(path)):
        return None
    try:
        made = manifest.load(host.filesystem(), host.kind)
        ours = {file.path for file in catalogue.files(choices.choose(
            host.kind, made.options if made else {}))}
    except exception.ConfigurationError:
        return None
    ours.update(made.files if made else ())
    if path not in {host.filesystem().shown(file) for file in ours}:
        return None
    return f'{move(path, ".old")} && mydriver setup {host.kind} --install'


def record(host: Host, path: str) -> str:
    """Return what begins a damaged record of mydriver setup anew.

    The options are lost with it. Without them, files of the first call may
    differ, and nothing tells them from those of others: they are overwritten
    by force only, which keeps copies.
    """
    install = f'{move(path, ".damaged")} && mydriver setup {host.kind} '
    try:
        differs = any(
            change.state is planning.State.FOREIGN for change in planning.plan(
                host.filesystem(), manifest.Manifest(host.kind),
                catalogue.files(choices.choose(host.kind, {}))))
    except exception.ConfigurationError:
        differs = False  # --install says what is wrong
    return install + ('--install --force  # add the options of the first call'
                      if differs else '--install')

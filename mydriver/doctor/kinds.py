# SPDX-License-Identifier: Apache-2.0
"""Which kinds of host this is, and what is configured there."""

from collections.abc import Sequence
import dataclasses
from pathlib import Path

from oslo_config import cfg

from mydriver import exception, releases
from mydriver.doctor.host import Host
from mydriver.hostfiles import choices, manifest
from mydriver.hostfiles import root as roots

_PROJECTS = {choices.STORAGE: ('cinder', 'cinder-volume'),
             choices.COMPUTE: ('nova', 'nova-compute')}


def detect(root: Path) -> list[str]:
    """Return the kinds of host that this is.

    A kind counts if ``mydriver setup`` was run for it, or if its service is
    installed beside this command and configured.
    """
    found = []
    for kind in choices.KINDS:
        project = _PROJECTS[kind][0]
        if _made(root, kind) or (
                releases.version_of(project) and any(
                    (root / f.lstrip('/')).exists()
                    for f in _default_files(root, kind))):
            found.append(kind)
    return found


def describe(root: Path, kind: str, files: Sequence[str] = (),
             directories: Sequence[str] = ()) -> Host:
    """Return a host with what was chosen for it.

    :param files: configuration files of the service; default: those of
        ``mydriver setup``, or where the service looks.
    :param directories: directories with more of them; default: those that
        oslo.config reads whatever files are named.
    """
    made = _made(root, kind)
    options = made.options if made else {}
    named = files or options.get('config_file')
    host = Host(kind, options.get('user') or choices.USERS[kind],
                tuple(named or _default_files(root, kind)),
                tuple(directories), (), root, made is not None,
                () if directories else tuple(_default_folders(root, kind)),
                bool(named))
    if kind == choices.COMPUTE:
        return host
    return dataclasses.replace(
        host, stores=_stores(host, options.get('store') or ()))


def _stores(host: Host, chosen: Sequence[str]) -> tuple[str, ...]:
    """Return the stores that sections name, and those chosen for setup."""
    try:
        enabled = host.setting('DEFAULT', 'enabled_backends') or ''
        named = [host.setting(name.strip(), 'mydriver_store')
                 or host.setting('backend_defaults', 'mydriver_store')
                 for name in enabled.split(',') if name.strip()]
    except exception.ConfigurationError:
        named = []  # a check reports it
    found = {*named, *chosen}
    return tuple(s for s in choices.STORES if s in found) or ('reflink',)


def _default_files(root: Path, kind: str) -> list[str]:
    found = (cfg.find_config_files(*_PROJECTS[kind])
             if root == Path('/') else [])
    return found or [choices.CONFIG[kind]]


def _default_folders(root: Path, kind: str) -> list[str]:
    """Return the directories that the service reads if none is named.

    Source: oslo_config/cfg.py, _parse_config_files. They are read unless there
    is a ``--config-dir``; that there is a ``--config-file`` does not matter.
    """
    project, program = _PROJECTS[kind]
    if root == Path('/'):
        return list(cfg.find_config_dirs(project, program))
    return [found for name in (project, program)
            if (found := next((
                path for folder in (f'/etc/{project}', '/etc')
                if (root / (path := f'{folder}/{name}.conf.d').lstrip('/')
                    ).is_dir()), None))]


def _made(root: Path, kind: str) -> manifest.Manifest | None:
    try:
        return manifest.load(roots.Root(str(root)), kind)
    except exception.ConfigurationError:
        # A check reports it.
        return manifest.Manifest(kind)

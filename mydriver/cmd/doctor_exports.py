# SPDX-License-Identifier: Apache-2.0
"""Checks of ``mydriver doctor``: what a storage host serves at present."""

from collections.abc import Iterator, Mapping
import hashlib
import json
import os
from pathlib import Path
import re
import shlex

from mydriver import discovery, exception, model
from mydriver.cmd import doctor_config, rivals
from mydriver.doctor import commands, displaced, findings, places
from mydriver.doctor import host as hosts
from mydriver.doctor.findings import Check, Found
from mydriver.doctor.host import Host
from mydriver.target import addresses, configfs

#: The module that ``mydriver status`` is run from, in a process of its own:
#: started by root, it becomes another user for good.
STATUS = 'mydriver.cmd.main'

#: How long it may take, seconds.
_STATUS_TIMEOUT_S = 60.0

#: Of a portal, seconds.
_CONNECT_S, _PROBE_S = 2.0, 4.0


def _rivals(host: Host) -> Iterator[Found]:
    texts = list(rivals.warnings(host.root))
    saved = {str(path): _put_away(path) for name in rivals.SAVED
             if os.path.lexists(path := host.root / name)}
    unread = [text for text in texts if ' cannot be read ' in text]
    for text in texts:
        name = text.split()[0]
        restored = re.search(r'restores (\S+)\. See', text)
        if text in unread:
            yield findings.unknown(
                text, commands.as_root(host) if os.geteuid() else '')
        elif name.startswith('/') or restored:
            yield findings.warning(text, saved.get(
                restored[1] if restored else name, ''))
        else:
            # Others may need it to have their targets back after a boot.
            yield findings.warning(
                text, '' if unread or not all(saved.values())
                else f'systemctl disable {name}')


def _put_away(path: Path) -> str:
    """Return what moves a saved configuration away.

    The command only moves what was looked at.

    :returns: nothing if others may need the file: only the operator can
        decide.
    """
    try:
        content = path.read_bytes()
    except OSError:
        return ''
    if not rivals.is_ours_alone(content.decode(errors='replace')):
        return ''
    file = shlex.quote(str(path))
    digest = hashlib.sha256(content).hexdigest()
    return (f'if [ -e {file} ]; then echo {digest}\\ \\ {file} | '
            f'sha256sum --check --status && '
            f'{displaced.move(str(path), ".old")}; fi')


def _portals(host: Host) -> Iterator[Found]:
    folder = host.at('/sys/kernel/config/target')
    try:
        targets = configfs.names(folder)
    except exception.TargetError as e:
        if isinstance(e.__cause__, PermissionError):
            raise
        yield findings.unknown(
            str(e), 'mountpoint -q /sys/kernel/config || '
            'mount -t configfs configfs /sys/kernel/config')
        return
    if not any(map(model.is_our_target, targets)):
        yield findings.info('There are no targets yet; cinder-volume creates '
                            'them when it starts.')
        return
    for backend in doctor_config.backends_of(host):
        if backend.has_gateways:
            continue
        for portal in backend.settings.portals:
            try:
                discovery.probe(portal, _CONNECT_S, _PROBE_S)
            except OSError as e:
                absent = addresses.absent(portal)
                yield findings.error(
                    f'[{backend.name}] Portal {portal} does not answer: '
                    f'{e.strerror or e}.' + (
                        f' This host does not have the address: {absent}. '
                        'Another host may have it by now: make sure that none '
                        'does before you give it back to this one (ip address '
                        'add), and then run mydriver restore.'
                        if absent else ''),
                    # A host that does not answer can have it all the same.
                    '' if absent else
                    f'mydriver restore {shlex.quote(backend.name)}')


#: What may be wrong with a directory that does not exist.
_MISTYPED = (' If mydriver_store_path has a typing error, correct that '
             'instead.')


def _status(host: Host) -> Iterator[Found]:
    host.sections()  # the errors of others show the contents of a file
    files, directories = host.sources()
    answer = hosts.run_module(
        STATUS, ['status', '-f', 'json',
                 *(f'--config-file={f}' for f in files),
                 *(f'--config-dir={d}' for d in directories)],
        _STATUS_TIMEOUT_S)
    try:
        rows = json.loads(answer.out)
    except ValueError:
        yield findings.error(
            'mydriver status fails: '
            f'{exception.shown(answer.err.strip()[-300:], 300)}',
            commands.of_text(answer.err) or doctor_config.edit(host))
        return
    for row in rows:
        severity = {'wrong': findings.error, 'warning': findings.warning
                    }.get(row['State'])
        if severity and row['Part'] != 'rivals':
            remedy = _remedy(host, row)
            yield severity(
                f'[{row["Backend"]}] {row["Part"]}: {row["Detail"]}'
                + (_MISTYPED if remedy.startswith('install ') else ''),
                remedy)


def _remedy(host: Host, row: Mapping[str, str]) -> str:
    """Return the command for what ``mydriver status`` has found.

    :param row: of its table.
    """
    text = row['Detail']
    if 'mydriver restore' in text:
        return f'mydriver restore {shlex.quote(row["Backend"])}'
    path = _store_path(host, row['Backend'])
    if row['Part'] == 'store' and path and text.startswith(
            f'mydriver_store_path: {path} '):
        return places.mend(host, path, text)
    return commands.of_text(text) or 'mydriver status'


def _store_path(host: Host, name: str) -> str | None:
    """Return the place of a backend's store, as its option has it.

    The text says it as well, but not where it ends.
    """
    return next((backend.section.safe_get('mydriver_store_path')
                 for backend in doctor_config.backends_of(host)
                 if backend.name == name), None)


CHECKS = (
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

# SPDX-License-Identifier: Apache-2.0
"""Checks of ``mydriver doctor``: what a storage host serves at present."""

from collections.abc import Iterator, Mapping
import json
import re

from mydriver import discovery, exception, model
from mydriver.cmd import doctor_config, rivals
from mydriver.doctor import commands, findings, places
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
    for text in rivals.warnings(host.root):
        name = text.split()[0]
        saved = re.search(r'restores (\S+)\. See', text)
        file = name if name.startswith('/') else saved and saved[1]
        if file:
            remedy = f'if [ -e {file} ]; then mv {file} {file}.old; fi'
        else:
            remedy = f'systemctl disable {name}'
        yield findings.warning(text, remedy)


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
                        f' This host does not have the address: {absent}.'
                        if absent else ''),
                    (_add_address(portal) if absent else '')
                    + f'mydriver restore {backend.name}')


def _add_address(portal: model.Portal) -> str:
    """Return what gives the host an address that nobody else has."""
    address = portal.address
    route = hosts.run(['ip', '-o', 'route', 'get', str(address)])
    found = re.search(r'\bdev (\S+)', route.out) if route else None
    bits = 128 if ':' in str(address) else 32
    return (f'ping -c 1 -W 1 {address} || ip address add {address}/{bits} '
            f'dev {found[1] if found else "lo"} && ')


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
            yield severity(
                f'[{row["Backend"]}] {row["Part"]}: {row["Detail"]}',
                _remedy(host, row))


def _remedy(host: Host, row: Mapping[str, str]) -> str:
    """Return the command for what ``mydriver status`` has found.

    :param row: of its table.
    """
    text = row['Detail']
    if 'mydriver restore' in text:
        return f'mydriver restore {row["Backend"]}'
    found = re.search(r'mydriver_store_path: (/\S+) ', text)
    if row['Part'] == 'store' and found:
        return places.mend(host, found[1], text)
    return commands.of_text(text) or 'mydriver status'


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

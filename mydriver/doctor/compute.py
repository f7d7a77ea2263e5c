# SPDX-License-Identifier: Apache-2.0
"""Checks of iscsid, multipathd and Nova's settings on compute hosts."""

from collections.abc import Iterator, Mapping
import datetime
import re

from mydriver import exception, model
from mydriver.doctor import findings, processes
from mydriver.doctor import host as hosts
from mydriver.doctor.findings import Check, Found
from mydriver.doctor.host import Host

INITIATOR_NAME = '/etc/iscsi/initiatorname.iscsi'
DRIVER = 'mydriver.LibvirtDriver'

_NEW_NAME = (f'echo InitiatorName=$(iscsi-iname) > {INITIATOR_NAME}; '
             'systemctl restart iscsid')
#: What disks of the kernel target say of themselves
#: (drivers/target/target_core_file.c, target_core_iblock.c).
_VENDOR, _PRODUCTS = 'LIO-ORG', ('FILEIO', 'IBLOCK')
#: A file that was written while iscsid started belongs to its start.
_TOLERANCE_S = 1.0


def _iscsid(host: Host) -> Iterator[Found]:
    if processes.started_at(host, 'iscsid') is not None:
        return
    answer = hosts.run(['systemctl', 'is-active', 'iscsid.socket'])
    if answer is None or answer.out.strip() != 'active':
        yield findings.error(
            'iscsid does not run, and no socket would start it.'
            if hosts.program('iscsid') else 'open-iscsi is not installed.',
            'systemctl enable --now iscsid.socket iscsid'
            if hosts.program('iscsid') else
            'apt-get install open-iscsi  # or dnf install '
            'iscsi-initiator-utils')


def _initiator_name(host: Host) -> Iterator[Found]:
    text = host.text(INITIATOR_NAME)
    if text is None:
        yield findings.error(f'{INITIATOR_NAME} does not exist.', _NEW_NAME)
        return
    names = re.findall(r'^InitiatorName=\s*(\S+)', text, re.MULTILINE)
    if len(names) != 1:
        yield findings.error(
            f'{INITIATOR_NAME} has {len(names) or "no"} '
            f'{"names" if names else "name"}.', _NEW_NAME)
        return
    try:
        model.Iqn(names[0])
    except exception.InvalidIqn as e:
        yield findings.error(f'{INITIATOR_NAME}: {e}', _NEW_NAME)


def _restarted(host: Host) -> Iterator[Found]:
    started = processes.started_at(host, 'iscsid')
    try:
        changed = host.at(INITIATOR_NAME).stat().st_mtime
    except FileNotFoundError:
        return  # the check above reports it
    if started is None:
        yield findings.info('iscsid does not run, so it reads the name when '
                            'it starts.')
    elif changed > started + _TOLERANCE_S:
        at = datetime.datetime.fromtimestamp(changed).isoformat(' ', 'seconds')
        yield findings.warning(
            f'{INITIATOR_NAME} was changed at {at}, after iscsid was '
            'started.', 'systemctl restart iscsid')


def _multipathd(host: Host) -> Iterator[Found]:
    wanted = (host.setting('libvirt', 'volume_use_multipath') or
              '').lower() in ('true', '1', 'yes', 'on')
    if processes.started_at(host, 'multipathd') is None:
        if wanted:
            yield findings.error(
                'multipathd does not run, but nova.conf has '
                'volume_use_multipath.', 'systemctl enable --now multipathd')
        else:
            yield findings.info('multipathd does not run, and nova.conf does '
                                'not ask for it: volumes get one path.')
        return
    answer = hosts.run(['multipathd', 'show', 'config'])
    if answer is None or answer.status or 'defaults' not in answer.out:
        yield findings.unknown(
            'multipathd does not show its settings.',
            'Run the command as root.')
        return
    settings = effective(answer.out)
    for name, right in (('user_friendly_names', 'no'),
                        ('skip_kpartx', 'yes')):
        if settings.get(name) != right:
            yield findings.warning(
                f'multipathd has {name} {settings.get(name, "unset")} for '
                f'disks of LIO-ORG instead of {right}.',
                'mydriver setup compute --install; systemctl reload '
                'multipathd')
    if settings.get('find_multipaths') == 'greedy':
        yield findings.warning(
            "multipathd has find_multipaths greedy: it takes the host's own "
            'disks as well.', 'In /etc/multipath.conf, section defaults, set '
            'find_multipaths yes; systemctl reload multipathd')


def effective(config: str) -> dict[str, str]:
    """Return the settings of multipathd for disks of the kernel target.

    :param config: what ``multipathd show config`` prints.
    """
    found: dict[str, dict[str, str]] = {
        'defaults': {}, 'devices': {}, 'overrides': {}}
    section, read = '', dict[str, str]()
    for line in map(str.strip, config.splitlines()):
        if line.endswith('{'):
            section, read = line[:-1].strip(), {}
        elif line == '}':
            if section == 'device' and _is_of_lio(read):
                found['devices'].update(read)  # of several, the last one
            elif section in found:
                found[section].update(read)
            section, read = '', {}
        elif ' ' in line:
            name, value = line.split(None, 1)
            read[name] = value.strip('"')
    # In the order of multipath.conf(5), the strongest one last.
    return {**found['defaults'], **found['devices'], **found['overrides']}


def _is_of_lio(device: Mapping[str, str]) -> bool:
    """Tell whether an entry is for the kernel target's disks, not TCMU's."""
    try:
        return bool(re.search(device.get('vendor') or '(?!)', _VENDOR)
                    and any(re.search(device.get('product', ''), p)
                            for p in _PRODUCTS))
    except re.error:
        return False  # a regular expression of POSIX only


def _nova_conf(host: Host) -> Iterator[Found]:
    found = host.setting('DEFAULT', 'compute_driver')
    if found != DRIVER:
        yield findings.warning(
            f'compute_driver is {found or "not set"}, so Nova attaches '
            'volumes without our plugin.',
            f'In {" ".join(host.files)}, section DEFAULT, set compute_driver '
            f'= {DRIVER}; systemctl restart nova-compute')


CHECKS = (
    Check('iscsid', findings.COMPUTE, 'iscsid runs, or its socket starts it',
          'It logs in to targets; without it no volume is attached.',
          _iscsid),
    Check('initiator-name', findings.COMPUTE,
          'The host has a valid initiator name',
          'The target lets this host in by this name.', _initiator_name),
    Check('initiator-name-in-use', findings.COMPUTE,
          'iscsid uses the present initiator name',
          'iscsid reads the name when it starts: it logs in by the old one, '
          'and the target refuses it.', _restarted),
    Check('multipathd', findings.COMPUTE, 'multipathd runs as it should',
          "A volume with one path is lost with its portal; with other "
          'settings, multipathd names maps differently or maps the '
          'partitions of guests.', _multipathd),
    Check('nova-conf', findings.COMPUTE, 'nova.conf names our driver',
          'The driver compares the identity of each disk with the expected '
          'one before a guest gets it.', _nova_conf),
)

# SPDX-License-Identifier: Apache-2.0
"""Checks of iscsid, multipathd and Nova's settings on compute hosts."""

from collections.abc import Iterator, Mapping
import datetime
import re
import shlex

from mydriver import exception, model
from mydriver.doctor import commands, findings, processes
from mydriver.doctor import host as hosts
from mydriver.doctor.findings import Check, Found
from mydriver.doctor.host import Host
from mydriver.hostfiles import catalogue

INITIATOR_NAME = '/etc/iscsi/initiatorname.iscsi'
DRIVER = 'mydriver.LibvirtDriver'

#: Files of multipathd, and what lets it read them again.
_CONFIG = '/etc/multipath.conf'
_OURS = f'{catalogue.MULTIPATH}/mydriver.conf'
_RELOAD = 'systemctl reload multipathd'

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
    remedy = _renaming(host, text or '')
    if text is None:
        yield findings.error(f'{INITIATOR_NAME} does not exist.', remedy)
        return
    names = re.findall(r'^InitiatorName=[ \t]*(\S+)', text, re.MULTILINE)
    if len(names) != 1:
        yield findings.error(
            f'{INITIATOR_NAME} has {len(names) or "no"} '
            f'{"names" if names else "name"}.', remedy)
        return
    try:
        model.Iqn(names[0])
    except exception.InvalidIqn as e:
        yield findings.error(f'{INITIATOR_NAME}: {e}', remedy)


def _renaming(host: Host, text: str) -> str:
    """Return what gives the host a name.

    The name that it has in sessions, else the first one in the file, else a
    new one: the target lets it in by the name that attachments were made for.

    :param text: what the file has now.
    """
    shown = (host.text(f'/sys/class/iscsi_session/{p.name}/initiatorname')
             for p in sorted(host.at('/sys/class/iscsi_session').glob('*')))
    written = re.findall(r'^InitiatorName=[ \t]*(\S+)', text, re.MULTILINE)
    name = next((n for one in (*shown, *written)
                 if _is_name(n := (one or '').strip())), '$(iscsi-iname)')
    return (f'echo "InitiatorName={name}" > {host.at(INITIATOR_NAME)} && '
            'systemctl restart iscsid')


def _is_name(text: str) -> bool:
    try:
        model.Iqn(text)
    except exception.InvalidIqn:
        return False
    return True


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
            commands.as_root(host))
        return
    settings = effective(answer.out)
    for name, right in (('user_friendly_names', 'no'),
                        ('skip_kpartx', 'yes')):
        if settings.get(name) != right:
            yield findings.warning(
                f'multipathd has {name} {settings.get(name, "unset")} for '
                f'disks of LIO-ORG instead of {right}.',
                _setting(host, name, right))
    if settings.get('find_multipaths') == 'greedy':
        yield findings.warning(
            "multipathd has find_multipaths greedy: it takes the host's own "
            'disks as well.',
            _changed(host, 'defaults', 'find_multipaths', 'yes')
            or "printf 'defaults {\\n    find_multipaths yes\\n}\\n' >> "
            f'{host.at(_CONFIG)} && {_RELOAD}')


def _setting(host: Host, name: str, right: str) -> str:
    """Return what makes multipathd use a setting for our disks.

    The file of ``mydriver setup``, unless that is in place and another one
    overrides it.
    """
    wanted = catalogue.template('multipath.conf').rstrip('\n') + '\n'
    if host.text(_OURS) != wanted:
        return f'mydriver setup {host.kind} --install && {_RELOAD}'
    return (_changed(host, 'overrides', name, right)
            or _changed(host, 'devices', name, right) or _RELOAD)


def _changed(host: Host, section: str, name: str, value: str) -> str | None:
    """Return what changes a setting of multipathd where a file has it.

    :param section: the only one that is changed; the host has disks of its
        own.
    :returns: None if no file of others has it.
    """
    setting = re.compile(
        rf'^[ \t]*{section}\s*\{{[^}}]*^[ \t]*{name}\s', re.MULTILINE)
    files = (host.at(_CONFIG), *sorted(
        host.at(catalogue.MULTIPATH).glob('*.conf')))
    having = [str(f) for f in files if f != host.at(_OURS) and f.exists()
              and setting.search(f.read_text(errors='replace'))]
    if not having:
        return None
    script = (f'/^[[:space:]]*{section}/,/^[[:space:]]*}}/s/^\\([[:space:]]*'
              f'{name}[[:space:]]\\+\\).*/\\1{value}/')
    return f"sed -i '{script}' {shlex.join(having)} && {_RELOAD}"


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
            commands.set_option(host, 'DEFAULT', 'compute_driver', DRIVER)
            + f' && {commands.restart(host)}')


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

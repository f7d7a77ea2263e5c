# SPDX-License-Identifier: Apache-2.0
"""Checks of iscsid, multipathd and Nova's settings on compute hosts."""

from collections.abc import Iterator
import datetime
import re
import shlex

from mydriver import exception, model
from mydriver.doctor import commands, findings, multipath, processes
from mydriver.doctor import host as hosts
from mydriver.doctor.findings import Check, Found
from mydriver.doctor.host import Host

INITIATOR_NAME = '/etc/iscsi/initiatorname.iscsi'
DRIVER = 'mydriver.LibvirtDriver'

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
    return (f'echo "InitiatorName={name}" > '
            f'{shlex.quote(str(host.at(INITIATOR_NAME)))} && '
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
    settings = multipath.effective(answer.out)
    for name, right in (('user_friendly_names', 'no'),
                        ('skip_kpartx', 'yes')):
        if settings.get(name) != right:
            yield findings.warning(
                f'multipathd has {name} {settings.get(name, "unset")} for '
                f'disks of LIO-ORG instead of {right}.',
                multipath.for_our_disks(host, name, right))
    if settings.get('find_multipaths') == 'greedy':
        yield findings.warning(
            "multipathd has find_multipaths greedy: it takes the host's own "
            'disks as well.',
            multipath.by_default(host, 'find_multipaths', 'yes'))


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

# SPDX-License-Identifier: Apache-2.0
"""Look at hosts: kernels, processes, units, and what the commands say."""

import json
import re

from lab.cloud import driver
from lab.scenario import observe
from lab.scenario.expect import NotProven, expect_equal
from lab.scenarios.install import documents, given, host, roots

_PROBE = 'python3 -I -S /run/lab/probe.py'

#: Patterns of the privileged daemons' contexts. The brackets keep grep from
#: finding the shell that calls it.
_CONTEXTS = {
    roots.STORAGE.name: '[m]' + driver.TARGET_DAEMON.split()[1][1:],
    roots.COMPUTE.name: '[m]' + driver.INITIATOR_DAEMON.split()[1][1:]}


def seen(storage: host.Host, compute: host.Host) -> observe.Seen:
    """Return what both kernels have."""
    return observe.Seen(
        json.loads(storage.ask(f'{_PROBE} target')),
        json.loads(compute.ask(f'{_PROBE} initiator')))


def attached(storage: host.Host, compute: host.Host, volume_id: str) -> str:
    """Prove an attachment by both kernels.

    :raises NotProven: when one of them does not have it.
    """
    found = seen(storage, compute)
    mapped, disks = found.mapped(volume_id), found.disks(volume_id)
    if len(mapped) != 1 or len(disks) != 1:
        raise NotProven(f'mapped: {mapped}; disks: {disks}')
    holders = ''.join(f' below {h}' for h in disks[0]['holders'])
    return f'{mapped[0]}; {disks[0]["name"]}{holders}'


def empty(storage: host.Host, compute: host.Host) -> str:
    """Prove that nothing of volumes is in either kernel.

    :raises NotProven: when something is.
    """
    found = seen(storage, compute).inventory()
    left = {kind: sorted(what) for kind, what in found.items() if what}
    if left:
        raise NotProven(f'left over: {left}')
    return ', '.join(f'0 {kind}' for kind in found)


def privileges(machine: host.Host) -> str:
    """Prove that the service is no root, and what sudo permits it.

    :raises NotProven: when it has more.
    """
    kind = machine.kind
    # Not ps(1): a node's kernel does not tell it when it was booted.
    user = machine.ask(
        f'stat -c %U /proc/$(systemctl show -P MainPID {kind.unit})').strip()
    expect_equal(kind.service, user, f'user of {kind.unit}')
    daemons = machine.ask(
        f"grep -l '{_CONTEXTS[kind.name]}' /proc/[0-9]*/cmdline "
        '| xargs stat -c %U').split()
    expect_equal({'root'}, set(daemons), 'user of the privileged daemon')
    had = {given.SUDO} if kind is roots.COMPUTE else set()
    allowed = [command for command in re.findall(
        r'NOPASSWD: (.*)', machine.ask(f'sudo -l -U {kind.service}'))
        if 'nova-rootwrap' not in command]
    expect_equal(1, len(allowed), f'commands of {kind.service}: {allowed}')
    rules = machine.ask('ls /etc/sudoers.d').split()
    expect_equal({'README', f'mydriver-{kind.name}'} | had, set(rules),
                 'files in sudoers.d')
    return f'{kind.unit} as {kind.service}, sudo: {allowed[0][:40]}...'


def files(machine: host.Host) -> str:
    """Have systemd and visudo check what is installed.

    :raises LabError: when they find a fault.
    """
    machine.type(documents.Line('visudo -c'))
    machine.type(documents.Line('modprobe -a $(grep -v "^#" '
                                '/etc/modules-load.d/mydriver-*.conf)'))
    said = [f'{machine.kind.name}: visudo ok']
    if machine.kind is roots.STORAGE:
        unit = 'mydriver-restore.service'
        verified = machine.type(documents.Line(
            f'systemd-analyze verify {unit}'))
        if unit in verified.output:
            raise NotProven(verified.output)
        rated = machine.type(documents.Line(
            f'systemd-analyze security --no-pager {unit} | tail -n 2'))
        said.append(' '.join(rated.output.split()))
    return ', '.join(said)


#: Checks that find something on each node: none has a time server.
_OF_NODES = {'clock'}


def doctor(machine: host.Host) -> str:
    """Have the driver's own commands look at the host.

    :raises NotProven: when they find something.
    """
    program = f'{machine.kind.venv}/bin/mydriver'
    if machine.kind is roots.STORAGE:
        machine.type(documents.Line(f'{program} status'))
    typed = machine.type(documents.Line(f'{program} doctor -f json'),
                         statuses=(0, 1))
    found = json.loads(typed.output[:typed.output.rindex(']') + 1])
    wrong = {f['Check']: f['What'] for f in found
             if f['Severity'] not in ('ok', 'info')}
    if wrong.keys() - _OF_NODES:
        raise NotProven(f'doctor on {machine.kind.name}: {wrong}')
    return (f'{machine.kind.name}: {len(found)} findings, '
            f'{", ".join(wrong) or "none"} to be mended')


def restored(machine: host.Host) -> str:
    """Prove that the exports were restored before cinder-volume started.

    :raises NotProven: when they were not.
    """
    unit = 'mydriver-restore.service'
    shown = dict(line.split('=', 1) for line in machine.ask(
        f'systemctl show {unit} -p ActiveState -p Result '
        '-p ActiveEnterTimestampMonotonic').splitlines())
    started = int(machine.ask(
        f'systemctl show -P ExecMainStartTimestampMonotonic '
        f'{machine.kind.unit}'))
    expect_equal(('active', 'success'),
                 (shown['ActiveState'], shown['Result']), unit)
    done = int(shown['ActiveEnterTimestampMonotonic'])
    if not 0 < done <= started:
        raise NotProven(f'{unit} was done at {done} us, {machine.kind.unit} '
                        f'started at {started} us')
    return (f'exports restored {done / 1e6:.0f} s after boot, before '
            f'{machine.kind.unit}')

# SPDX-License-Identifier: Apache-2.0
"""Checks for both kinds of host."""

from collections.abc import Iterator
import ctypes
import functools
import os
from pathlib import Path
import shlex
import stat

from mydriver import exception, permissions, releases
from mydriver.doctor import commands, findings, lvm
from mydriver.doctor import host as hosts
from mydriver.doctor.findings import Check, Found
from mydriver.doctor.host import Host
from mydriver.hostfiles import activation, catalogue
from mydriver.privileged import owners

#: adjtimex(2) returns it when the clock is not synchronised.
_TIME_ERROR = 5
#: More than struct timex takes; all zero means that nothing is changed.
_TIMEX_BYTES = 512

_PROJECTS = {'storage': 'cinder', 'compute': 'nova'}
_SERVICES = {'storage': 'cinder-volume', 'compute': 'nova-compute'}

#: What the kernel shows of parts that it has, also if they are built in:
#: such a part is in /sys/module only if it has parameters.
_SHOWN = {'target_core_mod': '/sys/kernel/config/target/core',
          'iscsi_target_mod': '/sys/kernel/config/target/iscsi',
          'iscsi_tcp': '/sys/class/iscsi_transport/tcp',
          'rbd': '/sys/bus/rbd'}


def _modules(host: Host) -> Iterator[Found]:
    kernel = os.uname().release
    listed = host.text(f'/lib/modules/{kernel}/modules.builtin')
    built_in = {Path(line).name.partition('.')[0].replace('-', '_')
                for line in (listed or '').splitlines()}
    for name in catalogue.modules(host.choices()):
        if name in built_in or any(host.at(path).is_dir() for path in (
                f'/sys/module/{name}', _SHOWN.get(name)) if path):
            continue
        tried = hosts.run(['modprobe', '--dry-run', '--quiet', name])
        if (tried is None or tried.status) and listed is None:
            yield findings.unknown(
                f'The kernel module {name} is not loaded. It cannot be known '
                f'whether it is a part of kernel {kernel}: there is no '
                f'/lib/modules/{kernel}/modules.builtin.',
                f'modprobe --verbose {name}')
        elif tried is None or tried.status:
            yield findings.error(
                f'The kernel module {name} is not loaded, and kernel '
                f'{kernel} does not have it.', 'apt-get install '
                'linux-image-amd64  # a kernel with all modules; on Ubuntu '
                f'linux-modules-extra-{kernel}')
        else:
            yield findings.error(
                f'The kernel module {name} is not loaded.',
                f'modprobe {name}', functools.partial(_load, name))


def _load(name: str) -> str:
    done = hosts.run(['modprobe', name], activation._TIMEOUT_S)
    if done is None or done.status:
        raise OSError(f'modprobe {name}: {done.err.strip() if done else ""}')
    return f'modprobe {name}'


def _lvm_filter(host: Host) -> Iterator[Found]:
    if not activation.restricts_lvm(host.filesystem()):
        yield findings.warning(
            'LVM on this host scans all disks.', lvm.restrict(host))


def clock_state() -> int:
    """Return the state of the kernel's clock, see adjtimex(2).

    :returns: -1 when it cannot be read.
    """
    buffer = ctypes.create_string_buffer(_TIMEX_BYTES)
    return int(ctypes.CDLL(None).adjtimex(buffer))


def _clock(_host: Host) -> Iterator[Found]:
    state = clock_state()
    if state < 0:
        yield findings.info('It is not known whether the clock is '
                            'synchronised.')
    elif state == _TIME_ERROR:
        yield findings.warning('The clock of this host is not synchronised.',
                               'timedatectl set-ntp true')


def _release(host: Host) -> Iterator[Found]:
    project = _PROJECTS[host.kind]
    found = releases.version_of(project)
    if found is None:
        yield findings.unknown(
            f'{project} is not installed beside this command.',
            f'"$(dirname "$(readlink -f "$(command -v '
            f'{_SERVICES[host.kind]})")")"/mydriver doctor {host.kind}')
        return
    # No command: another release of the project is a matter of the whole
    # cloud, whose database does not go back, and another mydriver or Python
    # one of whoever built this environment.
    try:
        for text in releases.concerns(project, found):
            yield findings.warning(text, '')
    except exception.UnsupportedRelease as e:
        yield findings.error(str(e), '')


def _config_files(host: Host) -> Iterator[Found]:
    config = host.config()
    if not config:
        user = shlex.quote(host.user)
        group = shlex.quote(permissions.group_of(host.user))
        sample = (f'{host.at(catalogue.SAMPLES)}/{_PROJECTS[host.kind]}'
                  '.conf.sample')
        yield findings.error(
            f'There is no {" or ".join(host.files)}.',
            ('' if permissions.account_of(host.user) else
             f'useradd --system --shell /usr/sbin/nologin {user} && ')
            + f'install -D -m 0640 -g {group} {shlex.quote(sample)} '
            f'{shlex.quote(str(host.at(host.files[0])))} && '
            f'{commands.edit(host)}')
    for path in [*config, *(str(host.at(d)) for d in (
            *host.directories, *host.defaults))]:
        try:
            step = owners.changeable(path)
        except exception.ConfigurationError as e:
            yield findings.error(f'{path}: {e.problem}. {e.remedy}', '')
            continue
        if step and stat.S_ISLNK(step.found.st_mode):
            yield findings.error(f'{step}. {step.about_link}', '')
            continue
        if step:
            yield findings.error(f'{step}.', permissions.for_user(
                step.path, step.found, host.user))
            continue
        file = Path(path).resolve()  # root's links lead there
        found = file.stat()
        if stat.S_ISREG(found.st_mode) and found.st_mode & stat.S_IROTH:
            yield findings.warning(
                f'Every user can read {path}, which has passwords.',
                permissions.for_user(str(file), found, host.user))


CHECKS = (
    Check('kernel-modules', findings.BOTH, 'The kernel modules are loaded',
          'Without them there is no kernel target, or no disk of one.',
          _modules),
    Check('config-files', findings.BOTH,
          'Only root can change the configuration of the service',
          'The privileged daemon obeys these files as root, and refuses to '
          'work if others can change them.', _config_files),
    Check('lvm-filter', findings.BOTH,
          'LVM leaves the disks of guests alone',
          'LVM of the host activates the volume groups that it finds on '
          "guests' disks, which can damage them and keeps volumes busy.",
          _lvm_filter),
    Check('clock', findings.BOTH, 'The clock is synchronised',
          'Leases of gateways, tokens and the times in logs depend on it.',
          _clock),
    Check('release', findings.BOTH, 'The release of OpenStack is supported',
          'The service refuses to load the driver or the plugin with an '
          'unsupported release.', _release),
)

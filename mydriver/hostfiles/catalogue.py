# SPDX-License-Identifier: Apache-2.0
"""The files and directories of each kind of host."""

from collections.abc import Iterator
import dataclasses
import importlib.resources
import string

from mydriver.hostfiles import choices as chosen
from mydriver.hostfiles import privsep

UNITS = '/etc/systemd/system'
SUDOERS = '/etc/sudoers.d'
UDEV = '/etc/udev/rules.d'
MULTIPATH = '/etc/multipath/conf.d'
SAMPLES = '/etc/mydriver'

RESTORE, GATEWAY = 'mydriver-restore.service', 'mydriver-gateway.service'
GATEWAY_UNIT = f'{UNITS}/{GATEWAY}'

#: Services that remove all targets of the host; see :mod:`..cmd.rivals`.
_RIVALS = ('rtslib-fb-targetctl.service', 'target.service',
           'targetcli.service')

#: Directories that the kernel target writes to, as in :mod:`..privileged`.
FOLDERS = {'/etc/target': 0o755, '/etc/target/pr': 0o700}

#: Modes of directories that are made, if not 0755.
FOLDER_MODES = {SUDOERS: 0o750, **FOLDERS}

_STORE_MODULES = {
    'reflink': ('target_core_file',),
    'lvmthin': ('dm_thin_pool', 'target_core_iblock'),
    'rbd': ('rbd', 'target_core_iblock'),
}


@dataclasses.dataclass(frozen=True, slots=True)
class HostFile:
    """A file of a host.

    :param path: absolute path.
    :param content: its bytes.
    :param mode: its permissions.
    """

    path: str
    content: bytes
    mode: int = 0o644


def files(choices: chosen.Choices) -> list[HostFile]:
    """Return the files of a host, sorted by path."""
    make = (_storage if choices.kind == chosen.STORAGE else _compute)
    return sorted((*make(choices), *_common(choices)), key=lambda f: f.path)


def folders(choices: chosen.Choices) -> list[str]:
    """Return directories of a host that nothing is put in."""
    return sorted(FOLDERS) if choices.kind == chosen.STORAGE else []


def units(choices: chosen.Choices) -> list[str]:
    """Return the units that are enabled."""
    return ([RESTORE] if choices.restores else []) + (
        [GATEWAY] if choices.gateway else [])


def modules(choices: chosen.Choices) -> list[str]:
    """Return the kernel modules of a host, in the order of loading."""
    if choices.kind == chosen.COMPUTE:
        return ['iscsi_tcp', 'dm_multipath']
    names = ['target_core_mod', 'iscsi_target_mod']
    for store in choices.stores:
        names += (n for n in _STORE_MODULES[store] if n not in names)
    return names


def template(name: str, **values: str) -> str:
    """Return a file of ``templates``, with its placeholders replaced."""
    text = importlib.resources.files(__package__).joinpath(
        'templates', name).read_text()
    return string.Template(text).substitute(values) if values else text


def _common(choices: chosen.Choices) -> Iterator[HostFile]:
    kind = choices.kind
    yield _file(f'/etc/modules-load.d/mydriver-{kind}.conf', template(
        'modules-load.conf', modules='\n'.join(modules(choices))))
    if choices.user != 'root':  # root needs no sudo
        yield _file(f'{SUDOERS}/mydriver-{kind}', template(
            'sudoers', user=choices.user, rule=privsep.rule(choices)), 0o440)


def _storage(choices: chosen.Choices) -> Iterator[HostFile]:
    common = {'program': choices.program, 'config': ' '.join(
        f'--config-file {f}' for f in choices.config_files)}
    if choices.restores:
        yield _file(f'{UNITS}/{RESTORE}', template(
            'mydriver-restore.service', **common, sandbox=_sandbox(choices),
            mounts=' '.join((*choices.store_paths, choices.state_path))))
    if 'lvmthin' in choices.stores:
        yield _file(f'{UNITS}/{RESTORE}.d/lvmthin.conf',
                    template('lvmthin.conf'))
    if choices.gateway:
        yield _file(GATEWAY_UNIT, template(
            'mydriver-gateway.service', **common, user=choices.user,
            state_path=choices.state_path))
        yield _file(f'{UDEV}/50-rbd.rules', template('50-rbd.rules'))
    for rival in _RIVALS:
        yield _file(f'{UNITS}/{rival}.d/mydriver.conf',
                    template('rival.conf'))
    yield _file('/etc/tmpfiles.d/mydriver-storage.conf', template(
        'tmpfiles.conf', user=choices.user, state_path=choices.state_path))
    yield _file(f'{SAMPLES}/cinder.conf.sample', _cinder_conf(choices))


def _compute(choices: chosen.Choices) -> Iterator[HostFile]:
    yield _file(f'{MULTIPATH}/mydriver.conf', template('multipath.conf'))
    yield _file(f'{SAMPLES}/nova.conf.sample', template(
        'nova.conf.sample', first_config=choices.config_files[0],
        user=choices.user, helper_command=privsep.helper_command(choices)))


def _sandbox(choices: chosen.Choices) -> str:
    if 'reflink' in choices.stores:
        files = template('sandbox-files')
        return files + (_devices() if choices.stores != ('reflink',)
                        else '').rstrip()
    return template('sandbox-devices',
                    state_path=choices.state_path).rstrip()


def _devices() -> str:
    """Return the part of the sandbox that opens up block devices."""
    return '\n'.join(line for line in template('sandbox-devices').splitlines()
                     if line.startswith('DeviceAllow='))


def _cinder_conf(choices: chosen.Choices) -> str:
    names = {'reflink': 'files', 'lvmthin': 'thin', 'rbd': 'ceph'}
    addresses = (
        '# Addresses that the gateways share, one for each target.\n'
        'mydriver_gateway_addresses = 192.0.2.51,192.0.2.52'
        if choices.gateway else
        '# An address of this host.\ntarget_ip_address = 192.0.2.11')
    values = {'user': choices.user, 'addresses': addresses,
              'store_path': (*choices.store_paths, '')[0]}
    return template(
        'cinder.conf.sample', user=choices.user,
        first_config=choices.config_files[0],
        helper_command=privsep.helper_command(choices),
        backends=','.join(names[s] for s in choices.stores),
        sections=''.join(template(f'backend-{s}', **values)
                         for s in choices.stores).rstrip('\n') + '\n')


def _file(path: str, text: str, mode: int = 0o644) -> HostFile:
    return HostFile(path, (text.rstrip('\n') + '\n').encode(), mode)

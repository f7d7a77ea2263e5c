# SPDX-License-Identifier: Apache-2.0
"""LVM commands that see only the physical volumes of one group.

LVM scans every disk of the host, including volumes of guests that are attached
here: on a host that is a compute host too, for a backup, or while a volume is
re-encrypted. A guest can give its volume group any name. If it chose the name
of ours, LVM would refuse every command for that name. So the disks of our
group are looked up once, and each command is limited to them (``--devices``,
lvm(8)).
"""

from collections.abc import Iterator, Sequence
import json
import os
from pathlib import Path
import re
import subprocess

from mydriver import exception, model
from mydriver.privileged import dm, grants

#: A command that takes longer is terminated but never killed: it may have
#: suspended devices.
COMMAND_TIMEOUT_S = 240.0

# The metadata on the disks is enough; there is no backup in /etc/lvm for each
# snapshot. A full pool returns errors at once: SCSI commands that wait for a
# minute make initiators abort and drop the session. Logical volumes are not
# scanned, since guests write to them.
_CONFIG = ('backup/backup=0 backup/archive=0 global/notify_dbus=0 '
           'activation/error_when_full=1 devices/scan_lvs=0')
#: Leaves the monitoring of the pool to the host's dmeventd.
_QUIET = ' activation/monitoring=0'

_ENVIRONMENT = {'LC_ALL': 'C', 'LVM_SUPPRESS_FD_WARNINGS': '1',
                'PATH': '/usr/sbin:/usr/bin:/sbin:/bin'}

#: How LVM reports that the kernel module dm-thin-pool cannot be loaded.
_NO_KERNEL = ('not detected in your kernel', 'support missing from kernel')

_SYS = Path('/sys')
_SESSION = re.compile(r'/(session\d+)/')

#: Path and sysfs directory of each disk, by group.
_Disks = tuple[tuple[str, str], ...]
_known: dict[str, _Disks] = {}


def report(group: str, command: str, part: str, fields: Sequence[str],
           select: str, *, anew: bool = False) -> list[dict[str, str]]:
    """Return what LVM reports of a group or its volumes, a row each.

    :param command: ``vgs`` or ``lvs``.
    :param part: name of the list in LVM's JSON, ``vg`` or ``lv``.
    :param fields: LVM's names of the fields.
    :param select: LVM's selection criteria, lvmreport(7).
    :param anew: look up the disks of the group again.
    :returns: an empty list where there is no such group.
    :raises StoreError: when the command fails.
    """
    if anew:
        _known.pop(group, None)
    disks = _disks(group)
    if not disks:
        return []
    return _rows(part, _in(group, disks, command, *_reporting(fields, select)))


def run(group: str, command: str, *args: str, quiet: bool = True) -> None:
    """Run a command that changes something in a group.

    :param quiet: do not start monitoring.
    :raises StoreError: when it fails, with LVM's message.
    :raises ConfigurationError: when LVM is not installed.
    """
    disks = _disks(group)
    if not disks:
        raise exception.StoreError(
            f'run {command}', f'there is no volume group {group}')
    _in(group, disks, command, '--yes', *args, quiet=quiet)


def _in(group: str, disks: _Disks, command: str, *args: str,
        quiet: bool = True) -> str:
    """Run a command that sees certain disks, or else the current ones.

    A group that an administrator has extended is incomplete without its new
    disks, and LVM does not change an incomplete group.
    """
    try:
        return _command(command, *_only(disks), *args, quiet=quiet)
    except exception.StoreError:
        found = _known[group] = _find(group)
        if not found or found == disks:
            raise
        return _command(command, *_only(found), *args, quiet=quiet)


def _only(disks: _Disks) -> tuple[str, str]:
    return '--devices', ','.join(path for path, _folder in disks)


def _reporting(fields: Sequence[str], select: str) -> tuple[str, ...]:
    return ('--reportformat', 'json', '--units', 'b', '--nosuffix',
            '--options', ','.join(fields), '--select', select)


def _rows(part: str, out: str) -> list[dict[str, str]]:
    rows: list[dict[str, str]] = json.loads(out)['report'][0][part]
    return rows


# -- the disks of a group

def _disks(group: str) -> _Disks:
    """Return the disks of a group: the known ones if they are unchanged."""
    known = _known.get(group)
    if not known or any(_folder(path) != folder for path, folder in known):
        known = _known[group] = _find(group)
    return known


def _find(group: str) -> _Disks:
    """Look up the disks of a group, without those of guests.

    :raises StoreError: when several groups have the name.
    """
    groups: dict[str, list[str]] = {}
    for row in _rows('pv', _command('pvs', *_reporting(
            ('pv_name', 'vg_uuid'), f'vg_name={group}'))):
        # LVM prints [unknown] for one that is missing.
        if row['pv_name'].startswith('/') and not is_guests(row['pv_name']):
            groups.setdefault(row['vg_uuid'].replace('-', ''), []).append(
                row['pv_name'])
    if len(groups) > 1:
        groups = {uuid: disks for uuid, disks in groups.items()
                  if uuid in _active(group)} or groups
    if len(groups) > 1:
        raise exception.StoreError(
            f'use volume group {group}',
            'there are several of that name: '
            + ', and '.join(f'{uuid} on {", ".join(sorted(disks))}'
                            for uuid, disks in sorted(groups.items()))
            + '. Keep LVM on this host away from the disks of guests; see '
            '"LVM and the disks of guests" in the operations guide')
    return tuple(sorted((disk, _folder(disk)) for disks in groups.values()
                        for disk in disks))


def _active(group: str) -> frozenset[str]:
    """Return the UUIDs, without hyphens, of groups with an active pool."""
    names = (dm.name_of(group, pool) for pool in grants.pools_of(group))
    found = (dm.group_uuid(device) for name in names
             for device in (f'{name}-tpool', name))
    return frozenset(filter(None, found))


def is_guests(path: str) -> bool:
    """Tell whether a disk is a guest's: a volume of one of our backends.

    :param path: of the device, which may be a partition, a multipath map or
        another device on top of such disks.
    """
    return any(_is_served(leaf) or _is_stored(leaf)
               for leaf in _leaves(_folder(path)))


def _folder(path: str) -> str:
    """Return the sysfs directory of a device; empty where there is none."""
    try:
        number = os.stat(path).st_rdev
    except OSError:
        return ''
    return os.path.realpath(
        _SYS / f'dev/block/{os.major(number)}:{os.minor(number)}')


def _leaves(folder: str) -> Iterator[Path]:
    """Return the sysfs directories of the disks below a device."""
    here = Path(folder)
    if (here / 'partition').exists():
        here = here.parent
    below = list(here.glob('slaves/*'))
    for disk in below:
        yield from _leaves(os.path.realpath(disk))
    if not below:
        yield here


def _is_served(folder: Path) -> bool:
    """Tell whether a disk belongs to a session with a target of ours."""
    session = _SESSION.search(f'{folder}/')
    if not session:
        return False
    name = _SYS / 'class/iscsi_session' / session[1] / 'targetname'
    try:
        return model.is_our_target(name.read_text().strip())
    except OSError:
        return False  # the session is gone, and the disk with it


def _is_stored(folder: Path) -> bool:
    """Tell whether a disk is a loop device on a file of a store of ours."""
    try:
        file = (folder / 'loop/backing_file').read_text().strip()
    except OSError:
        return False
    return os.path.dirname(file) in {
        os.path.normpath(g.place) for g in grants.current() if not g.pool}


# -- one command

def _command(command: str, *args: str, quiet: bool = True) -> str:
    """Run an LVM command and return its output.

    :raises StoreError: when it fails, with LVM's message.
    :raises ConfigurationError: when LVM is not installed.
    """
    config = _CONFIG + (_QUIET if quiet else '')
    argv = ['lvm', command, '--config', config, *args]
    try:
        process = subprocess.Popen(  # names in argv have been checked
            argv, env=_ENVIRONMENT, stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
            errors='replace', start_new_session=True)
    except FileNotFoundError as e:
        raise exception.ConfigurationError(
            'mydriver_store', 'lvmthin needs LVM, which is not installed',
            'Install lvm2 and thin-provisioning-tools.') from e
    try:
        out, err = process.communicate(timeout=COMMAND_TIMEOUT_S)
    except subprocess.TimeoutExpired as e:
        process.terminate()  # LVM exits once it has nothing suspended
        raise exception.StoreError(
            f'run {command}', f'it takes longer than {COMMAND_TIMEOUT_S:.0f} '
            's; see the kernel log for hung tasks') from e
    if process.returncode:
        if any(text in err for text in _NO_KERNEL):
            raise exception.ConfigurationError(
                'mydriver_store', 'lvmthin needs thin provisioning, which '
                'this kernel does not have', 'Run modprobe dm-thin-pool, and '
                'name it in /etc/modules-load.d/.')
        raise exception.StoreError(f'run {command}', _said(err))
    return out


def _said(err: str) -> str:
    """Return LVM's messages without its warnings."""
    lines = [line.strip().rstrip('.') for line in err.splitlines()]
    return '; '.join(line for line in lines if line and not
                     line.startswith('WARNING')) or 'it gave no reason'

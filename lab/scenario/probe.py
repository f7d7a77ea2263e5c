# SPDX-License-Identifier: Apache-2.0
"""Print what a node's kernel has; runs in the node, with the standard library.

``probe.py target FOLDER...`` and ``probe.py journal PATH`` on the storage
node, ``probe.py initiator`` on the compute node. Prints JSON. Everything is
read from configfs, sysfs and files, without the driver's code.
"""

import json
import os
from pathlib import Path
import re
import sqlite3
import sys

_CONFIGFS = Path('/sys/kernel/config/target')
_RECORDS = Path('/etc/iscsi/nodes')


def target(folders: list[str]) -> dict[str, object]:
    """Return targets, backstores and backing files.

    :param folders: of backing files.
    """
    return {
        'targets': {t.name: _target(t) for t in
                    sorted(_CONFIGFS.glob('iscsi/iqn.*'))},
        'backstores': {b.name: _backstore(b) for b in
                       sorted(_CONFIGFS.glob('core/*_*/*'))
                       if (b / 'wwn').exists()},
        'files': {str(p): _file(p) for folder in folders
                  for p in sorted(Path(folder).rglob('*')) if p.is_file()
                  } | _logical_volumes(),
        'mapped images': _mapped_images(),
        'sessions': [a.name for a in _CONFIGFS.glob('iscsi/*/tpgt_*/acls/*')
                     if 'No active' not in (a / 'info').read_text()],
    }


def _mapped_images() -> list[str]:
    """Return the RBD images that the kernel's client has mapped."""
    return sorted(
        '/'.join((p / name).read_text().strip() for name in
                 ('pool', 'name', 'current_snap'))
        for p in Path('/sys/bus/rbd/devices').glob('*'))


def _logical_volumes() -> dict[str, dict[str, int]]:
    """Return the sizes of LVM's volumes and snapshots, by path.

    device-mapper calls them GROUP-VOLUME, with each hyphen in a name doubled
    (lvm2, libdm, dm_build_dm_name).
    """
    found = {}
    for path in sorted(Path('/sys/block').glob('dm-*')):
        name = (path / 'dm/name').read_text().strip()
        parts = re.split('(?<!-)-(?!-)', name)
        if len(parts) == 2 and re.match('_?(volume|snapshot)--', parts[1]):
            size_bytes = int((path / 'size').read_text()) * 512
            found['/dev/' + '/'.join(parts).replace('--', '-')] = {
                'size_bytes': size_bytes}
    return found


def _target(path: Path) -> dict[str, object]:
    """Return LUNs, portals and ACLs of a target."""
    return {
        'luns': {lun.name: _linked(lun) for lun in
                 sorted(path.glob('tpgt_*/lun/lun_*'))},
        'portals': [p.name for p in sorted(path.glob('tpgt_*/np/*'))],
        'acls': {acl.name: {
            lun.name: _linked(lun) for lun in sorted(acl.glob('lun_*'))}
            for acl in sorted(path.glob('tpgt_*/acls/*'))},
    }


def _linked(folder: Path) -> str | None:
    """Return the backstore that a LUN, or a mapped LUN, links to."""
    for link in folder.iterdir():
        if link.is_symlink():
            to = link.resolve()
            return _linked(to) if to.name.startswith('lun_') else to.name
    return None


def _backstore(path: Path) -> dict[str, str]:
    serial = (path / 'wwn/vpd_unit_serial').read_text()
    return {'serial': serial.partition(':')[2].strip(),
            'path': (path / 'udev_path').read_text().strip()}


def _file(path: Path) -> dict[str, int]:
    stat = path.stat()
    return {'size_bytes': stat.st_size, 'used_bytes': stat.st_blocks * 512}


def initiator() -> dict[str, object]:
    """Return sessions, SCSI devices, node records and multipath maps."""
    sessions = {}
    for path in sorted(Path('/sys/class/iscsi_session').glob('session*')):
        sessions[path.name] = {
            'target': (path / 'targetname').read_text().strip(),
            'state': (path / 'state').read_text().strip()}
    return {
        'sessions': sessions,
        'devices': {p.name: device for p in
                    sorted(Path('/sys/class/scsi_device').glob('*'))
                    if (device := _device(p / 'device'))},
        'records': [str(p.relative_to(_RECORDS)) for p in
                    sorted(_RECORDS.glob('*/*'))],
        'maps': [name for p in sorted(Path('/sys/block').glob('dm-*'))
                 for name in [(p / 'dm/name').read_text().strip()]],
    }


def _device(path: Path) -> dict[str, object]:
    """Return name, size and identity of a SCSI disk."""
    names = sorted(p.name for p in path.glob('block/*'))
    return {
        'name': names[0] if names else None,
        'size_bytes': (int((path / 'block' / names[0] / 'size').read_text())
                       * 512 if names else 0),
        'naa': _naa(path / 'vpd_pg83'),
        'holders': sorted(os.listdir(path / 'block' / names[0] / 'holders'))
        if names else []}


def _naa(path: Path) -> str | None:
    """Read the NAA identifier in VPD page 0x83 (SPC-4, 7.8.6).

    Designators follow a header of four bytes. In each, the low nibble of the
    second byte is the type (3 is NAA), and the fourth byte is the length.
    """
    try:
        page = path.read_bytes()
    except OSError:
        return None
    at, end = 4, 4 + int.from_bytes(page[2:4], 'big')
    while at + 4 <= end:
        length = page[at + 3]
        if page[at + 1] & 0x3f == 3:  # an NAA, of the logical unit
            return page[at + 4:at + 4 + length].hex()
        at += 4 + length
    return None


def journal(path: str) -> list[str]:
    """Return the rows of a journal."""
    with sqlite3.connect(f'file:{path}?mode=ro', uri=True) as db:
        return [f'{table}: {row}' for table in (
            'target', 'export', 'node', 'mapping', 'quarantine')
            for row in db.execute(f'SELECT * FROM {table}')]


def version(path: str) -> int:
    """Return the version of a journal."""
    with sqlite3.connect(f'file:{path}?mode=ro', uri=True) as db:
        return int(db.execute('PRAGMA user_version').fetchone()[0])


def main(verb: str, *args: str) -> object:
    """Do what the command line says."""
    if verb == 'target':
        return target(list(args))
    if verb == 'version':
        return version(*args)
    return journal(*args) if verb == 'journal' else initiator()


if __name__ == '__main__':
    json.dump(main(*sys.argv[1:]), sys.stdout)

# SPDX-License-Identifier: Apache-2.0
"""Backstores (storage objects): created, compared, resized, removed.

rtslib's name cache is never used: each backstore has an index of its own, far
above those that rtslib hands out.
"""

import contextlib
import os
from pathlib import Path
from typing import Any

import rtslib_fb

from mydriver import exception
from mydriver.privileged.target import backing, configfs

_KINDS = {'fileio': rtslib_fb.FileIOStorageObject,
          'iblock': rtslib_fb.BlockStorageObject}


def ensure(export: dict[str, Any], found: backing.Backing) -> Path:
    """Create the backstore of a volume; an existing one is compared.

    :param export: checked.
    :param found: the volume's file or block device.
    :returns: its directory.
    :raises ForeignObject: when another object has its place.
    """
    path = configfs.storage_object(export)
    if path.is_dir() and not is_enabled(path):
        remove(path)  # left of a crash between its two steps
    if path.is_dir():
        bring_up_to_date(path, export, found)
    else:
        _create(path, export, found)
    # UNMAP on; EXTENDED COPY off, since it bypasses LUN masking
    # (drivers/target/target_core_xcopy.c finds devices by NAA id alone).
    for name, value in (('emulate_tpu', '1'), ('emulate_tpws', '1'),
                        ('emulate_3pc', '0')):
        attribute = path / 'attrib' / name
        if attribute.read_text().strip() != value:
            attribute.write_text(value)
    return path


def bring_up_to_date(path: Path, export: dict[str, Any],
                     found: backing.Backing) -> None:
    """Compare a backstore with the request, and update its size.

    fileio takes a size while it is in use
    (drivers/target/target_core_file.c, fd_set_configfs_dev_params); iblock
    reads it from the device.

    :raises ForeignObject: when it is of another volume or file.
    """
    its_serial = serial(path)
    device = (path / 'udev_path').read_text().strip()
    if its_serial != export['volume_id'] or device != found.path:
        raise exception.ForeignObject(
            f'Backstore {path}', f'it has serial {its_serial} and '
            f'device {device}')
    known = (path / 'alias').read_text().strip()
    if known.startswith(backing.IDENTITY) and known != found.identity:
        raise exception.ForeignObject(
            f'Backstore {path}', 'it has another file open than the '
            f'present {device}')
    if export['kind'] == 'fileio':
        info = (path / 'info').read_text().split()
        if int(info[info.index('Size:') + 1]) != export['size_bytes']:
            _write(path, 'control', f'fd_dev_size={export["size_bytes"]}')


def refuse_foreign(path: Path, volume_id: str) -> None:
    """Raise ForeignObject for a backstore with another volume's serial."""
    if is_enabled(path) and serial(path) != volume_id:
        raise exception.ForeignObject(
            f'Backstore {path}', f'it has serial {serial(path)}')


def serial(path: Path) -> str:
    """Return the unit serial of a backstore."""
    text = (path / 'wwn/vpd_unit_serial').read_text()
    return text.partition(':')[2].strip()


def is_enabled(path: Path) -> bool:
    """Tell whether a backstore exists and is enabled."""
    try:
        return (path / 'enable').read_text().strip() == '1'
    except FileNotFoundError:
        return False


def remove(path: Path) -> None:
    """Remove a backstore, if it exists."""
    with contextlib.suppress(FileNotFoundError):
        path.rmdir()
    with contextlib.suppress(OSError):  # not empty: others use it
        path.parent.rmdir()


def _create(path: Path, export: dict[str, Any], found: backing.Backing
            ) -> None:
    """Create a backstore for a file that is open already, or for a device.

    rtslib makes the kernel open a path, which may lead to another file by
    then. The kernel opens the file when the backstore is enabled, in the
    process that enables it (drivers/target/target_core_file.c,
    fd_configure_device), so it can be given that process's descriptor.

    The kernel itself opens a device for its exclusive use
    (target_core_iblock.c, iblock_configure_device). rtslib asks udev about it
    first, and again and again whether the backstore is still there: that would
    be most of the time of a takeover.
    """
    path.mkdir(parents=True)
    try:
        if export['kind'] == 'iblock':
            _write(path, 'control', f'udev_path={found.path}')
        else:
            _write(path, 'control', f'fd_dev_name={found.open_path},'
                   f'fd_dev_size={export["size_bytes"]}')
            # A guest's flush reaches fsync: drivers/target/target_core_file.c,
            # fd_execute_sync_cache.
            _write(path, 'attrib/emulate_write_cache', '1')
            _write(path, 'control', 'fd_buffered_io=1')
        _write(path, 'udev_path', found.path)
        if found.identity:
            _write(path, 'alias', found.identity)
        _write(path, 'enable', '1')
        found.check()
        _write(path, 'wwn/vpd_unit_serial', f'{export["volume_id"]}\n')
        if _has_reservations(export['volume_id']):  # from before a boot
            _KINDS[export['kind']](export['name'], index=configfs.index(
                export['volume_id']))._config_pr_aptpl()
    except BaseException:
        remove(path)
        raise


def _has_reservations(serial_number: str) -> bool:
    """Tell whether the kernel has stored persistent reservations of a volume.

    Source: drivers/target/target_core_pr.c, __core_scsi3_write_aptpl_to_file.
    """
    database = (configfs.root() / 'dbroot').read_text().strip()
    return os.path.exists(f'{database}/pr/aptpl_{serial_number}')


def _write(path: Path, attribute: str, value: str) -> None:
    (path / attribute).write_text(value)

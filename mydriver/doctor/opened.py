# SPDX-License-Identifier: Apache-2.0
"""The processes that have a block device open, from procfs.

QEMU, like most programs, opens a disk without claiming it: nothing else in the
kernel shows that it is in use.
"""

from collections.abc import Iterator, Set
import os
from pathlib import Path
import stat

from mydriver.doctor.host import Host

#: It has each path of a map open, and lets it go by itself.
_IGNORED = ('multipathd',)


def users(host: Host, numbers: Set[str]) -> list[str] | None:
    """Return the processes that have one of some devices open, as text.

    :param numbers: ``MAJOR:MINOR`` of the devices.
    :returns: None when it cannot be known: there is a process whose files
        this user cannot see.
    """
    found = []
    for folder in host.at('/proc').glob('[0-9]*'):
        try:
            if not numbers & _opened(folder):
                continue
            name = (folder / 'comm').read_text(errors='replace').strip()
        except (FileNotFoundError, ProcessLookupError):
            continue  # it has ended
        except OSError:
            return None
        if name not in _IGNORED:
            found.append(f'{name} ({folder.name})')
    return sorted(found)


def _opened(process: Path) -> set[str]:
    """Return ``MAJOR:MINOR`` of the block devices that a process has open.

    Not by the names of the files, which may be those of another mount
    namespace.
    """
    return set(_numbers(process))


def _numbers(process: Path) -> Iterator[str]:
    files = process / 'fd'
    for name in os.listdir(files) if files.is_dir() else ():
        try:
            status = (files / name).stat()
        except (FileNotFoundError, ProcessLookupError):
            continue  # it was closed
        if stat.S_ISBLK(status.st_mode):
            yield (f'{os.major(status.st_rdev)}:'
                   f'{os.minor(status.st_rdev)}')

# SPDX-License-Identifier: Apache-2.0
"""Other software that manages the kernel's target of this host.

The service of rtslib-fb restores a saved configuration at boot, after it has
removed what is there, and removes all when it is stopped: ours with the rest.
"""

from collections.abc import Iterator
import os
from pathlib import Path

#: Where the files of the host begin; tests have one of their own.
ROOT = Path('/')

#: What Debian, Fedora and SUSE call the service.
UNITS = ('rtslib-fb-targetctl.service', 'target.service',
         'targetcli.service')

#: Where it keeps what it restores: rtslib's place and Debian's.
SAVED = ('etc/target/saveconfig.json', 'etc/rtslib-fb-target/saveconfig.json')

#: systemd.unit(5), the system's unit search path.
_FOLDERS = ('etc/systemd/system', 'run/systemd/system',
            'usr/local/lib/systemd/system', 'usr/lib/systemd/system',
            'lib/systemd/system')

#: Begins the names of our backstores.
_OURS = '"mydriver-'


def warnings() -> Iterator[str]:
    """Tell of each rival that is enabled, and of what of ours it saved."""
    units = [unit for unit in UNITS if _is_enabled(unit)]
    for unit in units:
        yield (f'{unit} is enabled: it removes all targets when it is '
               'stopped or restarted. Run systemctl disable without --now, '
               'which would stop it. If you need it, see Rival services in '
               'the documentation.')
    for path in (ROOT / name for name in SAVED if units):
        if _OURS in _read(path):
            yield (f'{path} has exports of ours in it, as they were once; '
                   f'{units[0]} brings them back at boot. Move it away.')


def _is_enabled(unit: str) -> bool:
    """Tell whether systemd starts a unit at boot, without asking it."""
    files = [ROOT / folder / unit for folder in _FOLDERS]
    found = next((f for f in files if f.is_symlink() or f.exists()), None)
    if found is None or _is_masked(found):
        return False
    return any(os.path.lexists(wanted / unit)
               for folder in _FOLDERS for kind in ('wants', 'requires')
               for wanted in (ROOT / folder).glob(f'*.{kind}'))


def _is_masked(unit: Path) -> bool:
    """Tell whether a unit's file is empty or a link to /dev/null."""
    try:
        return (str(unit.readlink()) == '/dev/null' if unit.is_symlink()
                else unit.stat().st_size == 0)
    except OSError:
        return False


def _read(path: Path) -> str:
    try:
        return path.read_text(errors='replace')
    except OSError:  # it is root's
        return ''

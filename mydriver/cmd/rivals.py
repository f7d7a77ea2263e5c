# SPDX-License-Identifier: Apache-2.0
"""Other software that manages this host's kernel target.

The service of rtslib-fb clears the target and restores a saved configuration
at boot, and clears the target again when it is stopped. That includes this
driver's exports. ``mydriver setup`` prevents the latter.
"""

from collections.abc import Iterator
import json
import os
from pathlib import Path

from mydriver import model

#: The host's root directory; tests use their own.
ROOT = Path('/')

#: The service's names on Debian, Fedora and SUSE.
UNITS = ('rtslib-fb-targetctl.service', 'target.service',
         'targetcli.service')

#: The saved configuration: rtslib's own path and Debian's.
SAVED = ('etc/target/saveconfig.json', 'etc/rtslib-fb-target/saveconfig.json')

#: The system unit search path, see systemd.unit(5).
_UNIT_DIRECTORIES = ('etc/systemd/system', 'run/systemd/system',
            'usr/local/lib/systemd/system', 'usr/lib/systemd/system',
            'lib/systemd/system')

#: The prefix of this driver's backstores in a saved configuration.
_OURS = '"mydriver-'


def warnings(root: Path | None = None) -> Iterator[str]:
    """Yield a warning for each enabled rival and each saved export.

    :param root: the host's root directory; default: :data:`ROOT`.
    """
    root = root or ROOT
    units = []
    for unit in UNITS:
        try:
            if _is_enabled(root, unit):
                units.append(unit)
        except OSError as e:
            yield (f'{e.filename} cannot be read ({e.strerror}): it is not '
                   f'known whether {unit} is enabled.')
    saved = [root / name for name in SAVED if os.path.exists(root / name)]
    for unit in units:
        try:
            keeps = _keeps_targets(root, unit)
        except OSError as e:
            yield (f'{unit} is enabled, but {e.filename} cannot be read '
                   f'({e.strerror}): it is not known whether the unit removes '
                   'all targets when it is stopped.')
            continue
        if not keeps:
            yield (f'{unit} is enabled: it removes all targets when it is '
                   'stopped or restarted. Run systemctl disable, but without '
                   '--now, which would stop it. If you need the service, see '
                   '"Rival services" in the operations guide.')
        elif saved:
            yield (f'{unit} is enabled: when it is started or restarted, it '
                   f'removes all targets and restores {saved[0]}. See "Rival '
                   'services" in the operations guide.')
    for path in (root / name for name in SAVED if units):
        try:
            text = _read(path)
        except OSError as e:
            yield (f'{path} cannot be read ({e.strerror}): it is not known '
                   f'what {units[0]} restores at boot.')
            continue
        if _OURS in text:
            yield (f'{path} contains outdated exports of mydriver; '
                   f'{units[0]} restores them at boot. ' + (
                       'Move the file away.' if is_ours_alone(text) else
                       'It may contain exports of other software, too. See '
                       '"Rival services" in the operations guide.'))


def is_ours_alone(text: str) -> bool:
    """Tell whether a saved configuration has exports of this driver only.

    :param text: the content of the file.
    """
    try:
        saved = json.loads(text)
        names = [str(each['name']) for each in saved['storage_objects']]
        targets = [str(each['wwn']) for each in saved.get('targets', ())]
    except (ValueError, KeyError, TypeError, AttributeError):
        return False
    return (bool(names) and all(n.startswith('mydriver-') for n in names)
            and all(map(model.is_our_target, targets)))


def _is_enabled(root: Path, unit: str) -> bool:
    """Tell whether a unit is enabled, from systemd's directories."""
    files = [root / directory / unit for directory in _UNIT_DIRECTORIES]
    found = next((f for f in files if f.is_symlink() or f.exists()), None)
    if found is None or _is_masked(found):
        return False
    return any(os.path.lexists(wanted / unit)
               for directory in _UNIT_DIRECTORIES
               for kind in ('wants', 'requires')
               for wanted in (root / directory).glob(f'*.{kind}'))


def _keeps_targets(root: Path, unit: str) -> bool:
    """Tell whether a unit has our setting that it removes nothing at its end.

    Source: rtslib_fb/targetctl.py; ``restore`` clears only before it restores
    a file that exists.
    """
    return any('ExecStop=' in _read(root / directory / f'{unit}.d' / name
                                    ).splitlines()
               for directory in _UNIT_DIRECTORIES
               for name in ('mydriver.conf', 'override.conf'))


def _is_masked(unit: Path) -> bool:
    """Tell whether a unit file is empty or a link to /dev/null."""
    try:
        return (str(unit.readlink()) == '/dev/null' if unit.is_symlink()
                else unit.stat().st_size == 0)
    except OSError:
        return False


def _read(path: Path) -> str:
    """Return the content of a file, nothing if there is none.

    :raises OSError: when it cannot be read.
    """
    try:
        return path.read_text(errors='replace')
    except (FileNotFoundError, NotADirectoryError):
        return ''

# SPDX-License-Identifier: Apache-2.0
"""Print what an environment can import; runs in that environment.

Alone, with ``python -I``: only the standard library is sure to be there.

``probe.py modules ROOM...`` imports each module of the package, except those
of the rooms, and prints the errors by module, and which of the modules of
OpenStack have been loaded with them.

``probe.py entry GROUP...`` loads the package's entry points of these groups,
and prints the errors by name.

``probe.py driver CLASS`` loads a driver as the service does that owns it, and
prints its name and the number that it shows.

``probe.py commands`` prints the commands of ``mydriver``.
"""

import importlib
import importlib.metadata
import importlib.util
import json
from pathlib import Path
import sys
from typing import Any

PACKAGE = 'mydriver'

#: What only the rooms of the two plugins may load. (oslo's libraries load
#: eventlet by themselves, wherever it is installed.)
HEAVY = ('cinder', 'nova', 'os_brick')


def inside(name: str, rooms: list[str]) -> bool:
    """Tell whether a module is one of some packages, or in one."""
    return any(name == room or name.startswith(f'{room}.') for room in rooms)


def names() -> list[str]:
    """Return the names of all modules, without importing any."""
    spec = importlib.util.find_spec(PACKAGE)
    if spec is None or spec.origin is None:
        raise SystemExit(f'{PACKAGE} is not installed here')
    folder = Path(spec.origin).parent
    found = []
    for path in folder.rglob('*.py'):
        parts = path.relative_to(folder.parent).with_suffix('').parts
        found.append('.'.join(parts[:-1] if parts[-1] == '__init__'
                              else parts))
    return sorted(found)


def modules(*rooms: str) -> dict[str, object]:
    """Import all modules that are outside of some packages."""
    wrong = {}
    wanted = [n for n in names() if not inside(n, list(rooms))]
    for name in wanted:
        try:
            importlib.import_module(name)
        except ModuleNotFoundError as e:
            wrong[name] = {'lacks': (e.name or '').partition('.')[0]}
        except Exception as e:  # whatever it is, it is the finding
            wrong[name] = {'error': f'{type(e).__name__}: {e}'}
    return {'imported': len(wanted) - len(wrong), 'wrong': wrong,
            'heavy': [name for name in HEAVY if name in sys.modules]}


def entry(*groups: str) -> dict[str, object]:
    """Load the package's entry points of some groups."""
    wrong, loaded = {}, []
    points = importlib.metadata.distribution(PACKAGE).entry_points
    for point in points:
        if point.group in groups:
            loaded.append(f'{point.group}:{point.name}')
            try:
                point.load()
            except Exception as e:  # whatever it is, it is the finding
                wrong[loaded[-1]] = f'{type(e).__name__}: {e}'
    return {'loaded': loaded, 'wrong': wrong}


def driver(name: str) -> dict[str, object]:
    """Load a driver's class, by the value of the service's option."""
    from oslo_utils import importutils
    if importlib.util.find_spec('nova'):
        # nova-compute does this first; it loads the plugins of os-vif.
        import os_vif
        os_vif.initialize()
        found = importutils.import_class(f'nova.virt.{name}')
    else:
        found = importutils.import_class(name)
    return {'name': f'{found.__module__}.{found.__name__}',
            'bases': [f'{base.__module__}.{base.__name__}'
                      for base in found.__mro__],
            'version': getattr(found, 'VERSION', None)}


def commands() -> list[str]:
    """Return the names of the commands of ``mydriver``."""
    from mydriver.cmd import main
    return sorted(main.COMMANDS)


if __name__ == '__main__':
    answers: dict[str, Any] = {'modules': modules, 'entry': entry,
                               'driver': driver, 'commands': commands}
    json.dump(answers[sys.argv[1]](*sys.argv[2:]), sys.stdout)

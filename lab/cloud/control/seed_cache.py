# SPDX-License-Identifier: Apache-2.0
"""The kept copy of seeded databases, so that the next ``up`` is fast.

A copy is used only by the very same software: its key is made of everything
that it depends on, down to the text of the modules that made it.
"""

from collections.abc import Iterable
import hashlib
from pathlib import Path
import shutil
import subprocess

from lab.cloud import errors, settings
from lab.guest import sector

#: Folders below ``run`` that make up a copy; the passwords are among them,
#: since the databases hold them too.
_PARTS = ('mysql', 'lib/keystone', 'lib/glance', 'credentials.json')

#: Modules of lab.cloud that decide what is in the databases, or whose
#: paths and options end up there (the cell mappings hold addresses).
_MODULES = ('settings.py', 'driver.py', 'credentials.py', 'site.py',
            'config/*.py', 'control/seed.py', 'control/database.py',
            'control/seed_cache.py')

_MARK = 'complete'


def key(image: Path, root: Path = settings.ROOT) -> str:
    """Return the key of a copy: 16 hex digits.

    :param image: the guest image that is uploaded to glance.
    :param root: the clone.
    """
    digest = hashlib.sha256()
    here = Path(__file__).parent.parent
    files = [image, root / 'constraints.txt',
             *(p for pattern in _MODULES for p in sorted(here.glob(pattern)))]
    for path in files:
        digest.update(hashlib.sha256(path.read_bytes()).digest())
    digest.update(sector.disk())
    digest.update(f'{root} {settings.VENV} {_mariadb_version()}'.encode())
    return digest.hexdigest()[:16]


def _mariadb_version() -> str:
    """Return the server's version; its data files belong to it."""
    return subprocess.run(['/usr/sbin/mariadbd', '--version'], check=False,
                          capture_output=True, text=True).stdout.strip()


class SeedCache:
    """One kept copy of seeded databases.

    :param layout: of the cloud.
    :param name: its key.
    """

    def __init__(self, layout: settings.Layout, name: str) -> None:
        self._run = layout.run
        self._seeds = layout.seeds
        self.path = layout.seeds / name

    def there(self) -> bool:
        """Tell whether it is there, and whole."""
        return (self.path / _MARK).exists()

    def keep(self) -> None:
        """Make it from what is in ``run``; MariaDB is down meanwhile.

        Other copies go: each takes 100 MiB and more.
        """
        shutil.rmtree(self._seeds, ignore_errors=True)
        _copy(self._run, self.path, _PARTS)
        (self.path / _MARK).touch()

    def restore(self) -> None:
        """Put it into ``run``."""
        _copy(self.path, self._run, _PARTS)


def _copy(source: Path, target: Path, parts: Iterable[str]) -> None:
    """Copy files and folders; cp shares or skips blocks where it can.

    :raises CloudError: when one is missing or the disk is full.
    """
    for part in parts:
        (target / part).parent.mkdir(parents=True, exist_ok=True)
        done = subprocess.run(
            ['cp', '-a', '--sparse=always', '--reflink=auto',
             str(source / part), str(target / part)],
            check=False, capture_output=True, text=True)
        if done.returncode:
            raise errors.CloudError(done.stderr.strip())

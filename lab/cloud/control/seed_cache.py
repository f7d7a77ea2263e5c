# SPDX-License-Identifier: Apache-2.0
"""Keep copies of what ``up`` has seeded, so that the next one is fast.

A copy is used only by the same software: its key is a digest of everything
that it depends on, including the modules that made it.
"""

from collections.abc import Iterable
import hashlib
from pathlib import Path
import shutil
import subprocess

from lab import paths
from lab.cloud import errors, settings
from lab.guest import sector

#: Files and directories of the databases' copy. The databases have the
#: passwords, too, so these belong to the copy.
_PARTS = ('mysql', 'lib/keystone', 'lib/glance', 'credentials.json')

#: Modules of lab.cloud that determine the databases' content, or whose paths
#: and options get there (the cell mappings have addresses).
_MODULES = ('settings.py', 'driver.py', 'credentials.py', 'site.py',
            'config/*.py', 'control/seed.py', 'control/database.py',
            'control/seed_cache.py')

_MARK = 'complete'


def key(image: Path, root: Path = settings.ROOT,
        venv: Path = settings.VENV) -> str:
    """Return the key of a copy, 16 hex digits.

    :param image: the guest image that is uploaded to glance.
    :param root: the clone.
    :param venv: the environment, whose release made the databases.
    """
    digest = hashlib.sha256()
    here = Path(__file__).parent.parent
    files = [image, paths.constraints(root, venv),
             *(p for pattern in _MODULES for p in sorted(here.glob(pattern)))]
    for path in files:
        digest.update(hashlib.sha256(path.read_bytes()).digest())
    digest.update(sector.disk())
    digest.update(f'{root} {venv} {_mariadb_version()}'.encode())
    return digest.hexdigest()[:16]


def _mariadb_version() -> str:
    """Return the server's version, on which its data files depend."""
    return subprocess.run(['/usr/sbin/mariadbd', '--version'], check=False,
                          capture_output=True, text=True).stdout.strip()


class SeedCache:
    """One kept copy, of the seeded databases by default.

    :param layout: of the cloud.
    :param name: its key.
    :param folder: directory of such copies; there is one at a time.
    :param parts: files and directories below ``run`` that are copied.
    """

    def __init__(self, layout: settings.Layout, name: str,
                 folder: Path | None = None,
                 parts: Iterable[str] = _PARTS) -> None:
        self._run = layout.run
        self._seeds = folder or layout.seeds
        self._parts = tuple(parts)
        self.path = self._seeds / name

    def there(self) -> bool:
        """Tell whether it exists and is complete."""
        return (self.path / _MARK).exists()

    def keep(self) -> None:
        """Make it from the content of ``run``, while nothing writes there.

        Other copies are removed: each takes 100 MiB and more.
        """
        shutil.rmtree(self._seeds, ignore_errors=True)
        _copy(self._run, self.path, self._parts)
        (self.path / _MARK).touch()

    def restore(self) -> None:
        """Copy it to ``run``."""
        _copy(self.path, self._run, self._parts)


def _copy(source: Path, target: Path, parts: Iterable[str]) -> None:
    """Copy files and directories; cp shares or skips blocks where possible.

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

# SPDX-License-Identifier: Apache-2.0
"""The releases of OpenStack that environments can be made of."""

from pathlib import Path

from lab.bootstrap import steps
from lab.bootstrap.steps import ROOT

#: The one in ``constraints.txt``. Each other one has a file with its name.
DEFAULT = '2026.2'


def others(root: Path = ROOT) -> list[str]:
    """Return all but the default one, sorted."""
    return sorted(path.stem.removeprefix('constraints-')
                  for path in root.glob('constraints-*.txt'))


def constraints(release: str, root: Path = ROOT) -> Path:
    """Return the file with the versions of a release.

    :raises steps.BootstrapError: when there is no such release.
    """
    if release == DEFAULT:
        return root / 'constraints.txt'
    if release not in others(root):
        raise steps.BootstrapError(
            f'there is no release {release}; choose one of '
            f'{", ".join((*others(root), DEFAULT))}')
    return root / f'constraints-{release}.txt'

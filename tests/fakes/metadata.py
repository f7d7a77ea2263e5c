# SPDX-License-Identifier: Apache-2.0
"""Installed distributions that consist of nothing but their metadata."""

from pathlib import Path


def write(folder: str | Path, name: str, version: str) -> None:
    """Install a distribution into a directory, for ``sys.path``.

    :param folder: an existing directory.
    :param name: of the distribution.
    :param version: of the distribution.
    """
    path = Path(folder) / f'{name}-{version}.dist-info'
    path.mkdir()
    (path / 'METADATA').write_text(
        f'Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n')

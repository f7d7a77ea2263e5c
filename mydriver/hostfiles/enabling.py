# SPDX-License-Identifier: Apache-2.0
"""The links by which units are enabled."""

from collections.abc import Sequence
import posixpath

from mydriver.hostfiles import catalogue
from mydriver.hostfiles import root as roots


def forget(root: roots.Root, gone: Sequence[str]) -> None:
    """Remove the links to units that are gone.

    :param gone: paths of removed files, of which some are units.
    """
    units = [posixpath.basename(p) for p in gone
             if posixpath.dirname(p) == catalogue.UNITS]
    for folder in root.names(catalogue.UNITS) if units else ():
        if folder.endswith(('.wants', '.requires')):
            for unit in units:
                root.remove_link(f'{catalogue.UNITS}/{folder}/{unit}')

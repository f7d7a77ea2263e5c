# SPDX-License-Identifier: Apache-2.0
"""Where an image of Glance is in a cluster of Ceph.

Glance's rbd store names it ``rbd://FSID/POOL/IMAGE/SNAPSHOT``, each part
percent-encoded (glance_store/_drivers/rbd.py, StoreLocation). Nothing here
imports cinder.
"""

from collections.abc import Mapping
import re
from typing import Any
from urllib import parse

from mydriver.stores import imaging

_PREFIX = 'rbd://'
_PARTS = 4
#: Names that Ceph accepts, without those that need quoting anywhere.
_NAME = re.compile(r'[A-Za-z0-9_][A-Za-z0-9_.-]{0,126}\Z')
_URL_MAX = 1024


def locations(image_location: Any) -> tuple[imaging.ImageLocation, ...]:
    """Return the places of an image in clusters of Ceph.

    :param image_location: Glance's direct URL and its list of locations, or
        None if it shows neither.
    """
    if not isinstance(image_location, tuple | list) or len(
            image_location) != 2:
        return ()
    direct_url, listed = image_location
    urls = [direct_url]
    if isinstance(listed, tuple | list):
        urls += [entry.get('url') for entry in listed
                 if isinstance(entry, Mapping)]
    found = (_location(url) for url in urls if isinstance(url, str))
    return tuple(dict.fromkeys(place for place in found if place))


def _location(url: str) -> imaging.ImageLocation | None:
    """Return the place that a URL names, None if it names none in Ceph."""
    if not url.startswith(_PREFIX) or len(url) > _URL_MAX:
        return None
    parts = [parse.unquote(p) for p in url.removeprefix(_PREFIX).split('/')]
    if len(parts) != _PARTS or not all(map(_NAME.match, parts)):
        return None
    return imaging.ImageLocation(*parts)

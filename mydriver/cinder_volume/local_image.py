# SPDX-License-Identifier: Apache-2.0
"""Whether an image's file on this host may become a volume unchanged.

Glance gives the path of the file, but the path is not trusted: it must be the
file that Glance's file store writes for that very image, ``FOLDER/ID``, and
nobody else may have been able to write to it. Nothing here imports cinder.
"""

from collections.abc import Iterator, Mapping
import contextlib
import os
import stat
from typing import Any
from urllib import parse

from mydriver import exception

#: Percent-encoding takes three characters for a byte.
_URL_MAX = len('file://localhost') + 3 * 4096


def paths(image_location: Any) -> tuple[str, ...]:
    """Return the paths of an image's copies on this host.

    :param image_location: Glance's direct URL and its list of locations, or
        None if it shows neither.
    """
    urls = dict.fromkeys(u for u in _urls(image_location)
                         if isinstance(u, str) and len(u) <= _URL_MAX)
    return tuple(path for url in urls if (path := _path(url)))


def _urls(image_location: Any) -> Iterator[object]:
    """Yield the URLs of an image; none from what has another form."""
    if not isinstance(image_location, tuple | list) or len(
            image_location) != 2:
        return
    direct_url, locations = image_location
    yield direct_url
    if isinstance(locations, tuple | list):
        yield from (entry.get('url') for entry in locations
                    if isinstance(entry, Mapping))


def _path(url: str) -> str | None:
    """Return the path that a URL names on this host, None if it names none."""
    try:
        split = parse.urlsplit(url)
    except ValueError:
        return None
    if split.scheme != 'file' or split.netloc not in ('', 'localhost'):
        return None
    return parse.unquote(split.path)


def check_record(image: Mapping[str, Any], size_bytes: int) -> None:
    """Check by its record that an image can become a volume unchanged.

    :param size_bytes: of the volume.
    :raises ImageNotShareable: when it cannot.
    """
    kind = (image.get('container_format'), image.get('disk_format'))
    if kind != ('bare', 'raw'):
        raise exception.ImageNotShareable(
            image['id'], f'it is {"/".join(map(exception.shown, kind))}, '
            'not bare/raw')
    if 'img_signature' in (image.get('properties') or {}):
        raise exception.ImageNotShareable(
            image['id'], 'it is signed, and is verified while it is fetched')
    size = image.get('size')
    if not isinstance(size, int) or not 0 < size <= size_bytes:
        raise exception.ImageNotShareable(
            image['id'], f'it has {exception.shown(size)} bytes, the volume '
            f'{size_bytes}')


@contextlib.contextmanager
def opened(path: str, image: Mapping[str, Any]) -> Iterator[int]:
    """Open the file of an image, checked to be the one that Glance wrote.

    :raises ImageNotShareable: when it is not.
    """
    try:
        if os.path.realpath(path) != path:
            raise exception.ImageNotShareable(
                image['id'], f'{path} leads over a symbolic link')
        # O_NONBLOCK: do not wait for the other end of a pipe.
        fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except (OSError, ValueError) as e:
        raise exception.ImageNotShareable(
            image['id'], f'{path!r} cannot be opened: {e}') from e
    try:
        problem = _problem(os.fstat(fd), os.stat(os.path.dirname(path)),
                           os.path.basename(path), image)
        if problem:
            raise exception.ImageNotShareable(image['id'],
                                              f'{path} {problem}')
        yield fd
    finally:
        os.close(fd)


def _problem(found: os.stat_result, folder: os.stat_result, name: str,
             image: Mapping[str, Any]) -> str | None:
    """Return why a file is not what Glance wrote, None when it is."""
    if name != image['id']:
        return 'is not named after the image'
    if not stat.S_ISREG(found.st_mode):
        return 'is not a regular file'
    if found.st_nlink != 1:
        return 'has more than one name (hard links)'
    if found.st_uid != folder.st_uid:
        return (f'belongs to user id {found.st_uid}, its directory to '
                f'{folder.st_uid}')
    if found.st_mode & stat.S_IWOTH:
        return 'can be written by everybody'
    if found.st_size != image['size']:
        return f'has {found.st_size} bytes, the image {image["size"]}'
    return None

# SPDX-License-Identifier: Apache-2.0
"""Notes of the hosts that use an image natively, in the image's metadata.

Each note is one entry of the image's header, which its primary OSD changes as
a whole. librbd copies the metadata of an image to its clones, so the key of a
note has the id of its image, which no other image ever has, and which a rename
does not change; what was inherited is not read. Neither a lock nor the feature
``exclusive-lock`` is needed for a change, so a guest that is writing is not
disturbed.

Each attach gives its note another version, beside it. A version is written
before its note, and a note is removed by an operation on the header that
compares the version: of two services, one cannot remove what the other one has
noted meanwhile. librbd has no such operation.
"""

import hashlib
import secrets
from typing import Any

from mydriver import exception
from mydriver.ceph import cluster, omap

_PREFIX = 'mydriver.native.'
#: Of the versions of notes. Earlier releases neither write nor read them.
_VERSIONS = 'mydriver.version.'
#: Enough of a digest that no two hosts have the same.
_DIGITS = 32


def versions(image: Any) -> dict[str, str]:
    """Return the versions of all notes, by user, sorted.

    :param image: an open ``rbd.Image``, perhaps only for reading.
    :returns: empty texts for notes of an earlier release.
    :raises CephError: when a note is damaged.
    """
    image_id = image.id()
    prefix = f'{_PREFIX}{image_id}.'
    values = dict(image.metadata_list())
    found = {}
    for key, user in values.items():
        if not key.startswith(prefix):
            continue
        if key != _key(image_id, user):
            raise exception.CephError(
                f'tell who uses image {image.get_name()}',
                f'its metadata {key} is damaged. It names a host that uses '
                'the image natively. Remove it with rbd image-meta remove '
                'once no host does')
        found[user] = values.get(_key(image_id, user, _VERSIONS), '')
    return dict(sorted(found.items()))


def add(image: Any, user: str) -> str:
    """Note a user, or give its note another version.

    :param image: an ``rbd.Image`` that is open for writing.
    :returns: the version.
    """
    version, image_id = secrets.token_hex(8), image.id()
    image.metadata_set(_key(image_id, user, _VERSIONS), version)
    image.metadata_set(_key(image_id, user), user)
    return version


def drop(image: Any, user: str) -> None:
    """Remove the note of a user; fine when there is none.

    :param image: an ``rbd.Image`` that is open for writing.
    """
    for kind in (_PREFIX, _VERSIONS):
        try:
            image.metadata_remove(_key(image.id(), user, kind))
        except (KeyError, cluster.module('rbd').ImageNotFound):
            continue


def drop_version(pool: Any, image_id: str, user: str, version: str) -> bool:
    """Remove the note of a user, if it still has a version.

    :param pool: librados' context of the image's pool.
    :returns: False when it has another one; fine when there is no such image.
    """
    # As cls_rbd keeps metadata (src/cls/rbd/cls_rbd.cc, metadata_set).
    keys = [f'metadata_{_key(image_id, user, kind)}'
            for kind in (_PREFIX, _VERSIONS)]
    return omap.within(pool).write(
        f'rbd_header.{image_id}', {}, keys, where={keys[1]: version}
        ) is not omap.Outcome.DIFFERS


def _key(image_id: str, user: str, kind: str = _PREFIX) -> str:
    digest = hashlib.sha256(user.encode()).hexdigest()[:_DIGITS]
    return f'{kind}{image_id}.{digest}'

# SPDX-License-Identifier: Apache-2.0
"""Steps with the images of a pool (:mod:`mydriver.ceph.blocking`).

What there is and how large it is, is read by the methods of Ceph's own class
``rbd`` (src/cls/rbd/cls_rbd.cc): opening an image takes ten times as long.
"""

from collections.abc import Iterable, Iterator, Mapping
import contextlib
import struct
from typing import Any

from mydriver.ceph import blocking, cluster

_DIRECTORY = 'rbd_directory'
_NOSNAP = struct.pack('<Q', 0xfffffffffffffffe)
_SIZE = struct.Struct('<BQ')

#: Images asked for at the same time.
_AT_ONCE = 64

_FEATURES = ('LAYERING', 'EXCLUSIVE_LOCK', 'OBJECT_MAP', 'FAST_DIFF',
             'DEEP_FLATTEN')
#: What the kernel's client can map besides (drivers/block/rbd.c,
#: RBD_FEATURES_SUPPORTED).
_MAPPABLE = (*_FEATURES, 'STRIPINGV2', 'DATA_POOL', 'OPERATIONS')


def rbd() -> Any:
    """Return librbd's module."""
    return cluster.module('rbd')


def not_found() -> tuple[type[Exception], ...]:
    """Return the errors of what is not there."""
    return cluster.module('rados').ObjectNotFound, rbd().ImageNotFound


def features() -> int:
    """Return the features of our images."""
    return _sum(_FEATURES)


def feature(name: str) -> int:
    """Return the bit of a feature, such as ``exclusive-lock``."""
    return _sum([name.upper().replace('-', '_')])


def unmappable(found: int) -> tuple[str, ...]:
    """Return those of an image's features that the kernel does not have."""
    odd = found & ~_sum(_MAPPABLE)
    names = {getattr(rbd(), n): n for n in dir(rbd())
             if n.startswith('RBD_FEATURE_')
             and isinstance(getattr(rbd(), n), int)}
    return tuple(sorted(
        names[bit].removeprefix('RBD_FEATURE_').lower().replace('_', '-')
        for bit in names if bit & odd and not bit & (bit - 1)))


def _sum(names: Iterable[str]) -> int:
    return sum(getattr(rbd(), f'RBD_FEATURE_{name}') for name in names)


# -- what there is

@blocking.step
def ids(io: Any) -> dict[str, str]:
    """Return the ids of all images, by name."""
    return {i['name']: i['id'] for i in rbd().RBD().list2(io)}


@blocking.step
def id_of(io: Any, name: str) -> str | None:
    """Return the id of an image; None when there is none of that name."""
    raw = name.encode()
    try:
        _, out = io.execute(_DIRECTORY, 'rbd', 'dir_get_id',
                            struct.pack('<I', len(raw)) + raw)
    except not_found():
        return None
    return _text(out)


@blocking.step
def size_of(io: Any, image_id: str) -> int:
    """Return the size of an image in bytes.

    :raises rados.ObjectNotFound: when it has no header.
    """
    _, out = io.execute(f'rbd_header.{image_id}', 'rbd', 'get_size', _NOSNAP)
    return int(_SIZE.unpack(out)[1])


@blocking.step
def sizes(io: Any, image_ids: Iterable[str]) -> Mapping[str, int]:
    """Return the sizes of many images; those without a header are left out."""
    found: dict[str, int] = {}
    todo = list(image_ids)
    for at in range(0, len(todo), _AT_ONCE):
        pending = [(image_id, _ask_size(io, image_id, found))
                   for image_id in todo[at:at + _AT_ONCE]]
        for _image_id, completion in pending:
            completion.wait_for_complete_and_cb()
    return found


def _ask_size(io: Any, image_id: str, found: dict[str, int]) -> Any:
    def answered(completion: Any, out: bytes | None) -> None:
        if completion.get_return_value() >= 0 and out:
            found[image_id] = int(_SIZE.unpack(out[:_SIZE.size])[1])

    return io.aio_execute(f'rbd_header.{image_id}', 'rbd', 'get_size',
                          _NOSNAP, _SIZE.size, oncomplete=answered)


def _text(encoded: bytes) -> str:
    length, = struct.unpack_from('<I', encoded)
    return encoded[4:4 + length].decode()


@contextlib.contextmanager
def opened(io: Any, name: str | None = None, *, image_id: str | None = None,
           read_only: bool = False) -> Iterator[Any]:
    """Open an image by its name or its id.

    :param read_only: leave no watch, so that nobody takes it for used.
    """
    image = rbd().Image(io, name, image_id=image_id, read_only=read_only)
    try:
        yield image
    finally:
        image.close()


@blocking.step
def watchers(io: Any, image_id: str) -> tuple[str, ...]:
    """Return the addresses of the clients that have an image open."""
    with opened(io, image_id=image_id, read_only=True) as image:
        return tuple(w['addr'] for w in image.watchers_list())


@blocking.step
def parent_of(io: Any, image_id: str) -> tuple[str, str] | None:
    """Return the id of an image's parent and the name of its snapshot.

    :returns: None when the image has no parent.
    """
    with opened(io, image_id=image_id, read_only=True) as image:
        try:
            return str(image.parent_id()), str(
                image.get_parent_image_spec()['snap_name'])
        except rbd().ImageNotFound:
            return None


@blocking.step
def is_untouched(io: Any, image_id: str, size_bytes: int) -> bool:
    """Tell whether an image has a certain size and no data."""
    try:
        with opened(io, image_id=image_id, read_only=True) as image:
            return image.size() == size_bytes and not _has_data(image)
    except not_found():
        return False


def _has_data(image: Any) -> bool:
    """Tell whether anything was written to an open image or its parents."""
    class _SomethingError(Exception):
        """Ends the search."""

    def found(_offset: int, _length: int, exists: bool) -> None:
        if exists:
            raise _SomethingError

    try:
        image.diff_iterate(0, image.size(), None, found, whole_object=True)
    except _SomethingError:
        return True
    return False


# -- changes

@blocking.step
def create(io: Any, name: str, size_bytes: int) -> None:
    """Create an image without data."""
    rbd().RBD().create(io, name, size_bytes, old_format=False,
                       features=features())


@blocking.step
def resize(io: Any, image_id: str, size_bytes: int) -> None:
    """Extend an image; never shrink it."""
    with opened(io, image_id=image_id) as image:
        if image.size() < size_bytes:
            image.resize(size_bytes)


@blocking.step
def clone(io: Any, source: str, source_id: str, snap: str, name: str) -> None:
    """Create an image that shares the data of another one as it is now.

    :param snap: name for the snapshot that this takes.
    """
    with opened(io, image_id=source_id) as image:
        image.create_snap(snap)
        rbd().RBD().clone(io, source, snap, io, name, features=features())


@blocking.step
def drop_snapshot(io: Any, image_id: str, snap: str) -> None:
    """Remove a snapshot of an image; fine if either is missing."""
    with contextlib.suppress(*not_found()), \
            opened(io, image_id=image_id) as image:
        image.remove_snap(snap)


@blocking.step
def flatten(io: Any, image_id: str) -> None:
    """Copy what an image shares with its ancestors, and forget them."""
    with opened(io, image_id=image_id) as image:
        image.flatten()


@blocking.step
def rename(io: Any, old: str, new: str) -> None:
    """Rename an image, also where that was interrupted before.

    librbd writes the object that leads from the new name to the id, then
    changes the directory, and removes the old name's object last
    (src/librbd/operation/RenameRequest.cc). The directory decides.
    """
    forget_stale(io, new)
    if id_of(io, old) is not None:
        rbd().RBD().rename(io, old, new)
    forget_stale(io, old)


@blocking.step
def forget_stale(io: Any, name: str) -> None:
    """Remove the object of a name that no image has.

    Creating an image of that name would fail. The caller holds the name's
    intent, so that nobody is making an image of it.
    """
    if id_of(io, name) is None:
        with contextlib.suppress(*not_found()):
            io.remove_object(f'rbd_id.{name}')


@blocking.step
def discard(io: Any, name: str) -> None:
    """Remove an image at once, complete or not; it is fine if there is none.

    :raises rbd.ImageBusy: when a client has it open.
    :raises rbd.ImageHasSnapshots: when it has snapshots.
    """
    with contextlib.suppress(*not_found()):
        rbd().RBD().remove(io, name)
    forget_stale(io, name)


# -- the trash

@blocking.step
def trash(io: Any) -> dict[str, str]:
    """Return the names that images in the trash had, by their ids."""
    return {i['id']: i['name'] for i in rbd().RBD().trash_list(io)}


@blocking.step
def trash_move(io: Any, name: str) -> None:
    """Move an image to the trash, from which it may be removed at once."""
    rbd().RBD().trash_move(io, name, 0)


@blocking.step
def trashed(io: Any, image_id: str) -> tuple[int, bool]:
    """Return the size of an image, and whether it has snapshots.

    Without a header it has none: its removal was interrupted.
    """
    try:
        with opened(io, image_id=image_id, read_only=True) as image:
            return image.size(), bool(list(image.list_snaps()))
    except not_found():
        return 0, False


@blocking.step
def idle_snapshots(io: Any, image_id: str, prefix: str) -> tuple[str, ...]:
    """Return the snapshots of an image that have no clones.

    :param prefix: of their names.
    """
    with contextlib.suppress(*not_found()), opened(
            io, image_id=image_id, read_only=True) as image:
        return tuple(s['name'] for s in image.list_snaps()
                     if s['namespace'] == rbd().RBD_SNAP_NAMESPACE_TYPE_USER
                     and s['name'].startswith(prefix)
                     and not _has_clones(image, s['name']))
    return ()


@blocking.step
def prune(io: Any, image_id: str, snap: str) -> None:
    """Remove a snapshot of an image, unless it has clones."""
    if snap in idle_snapshots(io, image_id, snap):
        drop_snapshot(io, image_id, snap)


def _has_clones(image: Any, snap: str) -> bool:
    image.set_snap(snap)
    return bool(list(image.list_children2()))


@blocking.step
def trash_remove(io: Any, image_id: str) -> None:
    """Remove an image from the trash, or what is left of it."""
    rbd().RBD().trash_remove(io, image_id)

# SPDX-License-Identifier: Apache-2.0
"""The store of raw sparse files on a filesystem that shares extents.

One folder, one file a backing, on XFS or btrfs. Snapshots and clones share
their extents with the source (``FICLONE``, ioctl_ficlonerange(2)): they take
the time of a few metadata writes, whatever the size.

A new file has no name until it is whole: it is made with ``O_TMPFILE``,
filled, flushed, and then linked into the folder (open(2)). So a crash leaves
nothing to clean up: the filesystem itself drops files without a name.

All of it runs as the service's own user.
"""

from collections.abc import Iterator, Sequence
import contextlib
import fcntl
import os
import stat

from mydriver import exception, model
from mydriver.stores import base, batch, identity
from mydriver.stores.reflink import directory, extents, files, probe

#: _IOW(0x94, 9, int) of include/uapi/linux/fs.h.
_FICLONE = 0x40049409


def ficlone(source_fd: int, target_fd: int) -> None:
    """Let one open file share all extents of another, atomically.

    Dirty pages of the source are written out first, so that what a running
    guest wrote through the target is in it (fs/remap_range.c).
    """
    fcntl.ioctl(target_fd, _FICLONE, source_fd)


class ReflinkStore:
    """Raw sparse files in one folder; see :class:`base.VolumeStore`.

    :param path: absolute path of the folder.
    :param clone: how contents are shared, for tests on filesystems that
        cannot.
    :param record: the id of the store that was in that folder before.
    """

    def __init__(self, path: str, clone: probe.Clone = ficlone,
                 record: identity.Record | None = None) -> None:
        self._path = path
        self._clone = clone
        self._directory = directory.Directory(
            path, record or identity.Record())

    @property
    def location(self) -> str:
        """The folder."""
        return self._path

    @property
    def consistent_groups(self) -> bool:
        """No: each file is shared at a moment of its own."""
        return False

    def block_bytes(self) -> int:
        """Return what LIO shows of regular files, whatever disk is below.

        Source: drivers/target/target_core_file.h, FD_BLOCKSIZE.
        """
        return base.BLOCK_BYTES

    @property
    def copies_hold_writes(self) -> bool:
        """Yes: FICLONE goes from extent to extent, with the file locked."""
        return True

    @property
    def needs_native_thread(self) -> bool:
        """Yes: files are flushed."""
        return True

    @property
    def is_known(self) -> bool:
        """Whether the folder or the record has an id."""
        return self._directory.is_known()

    def prepare(self) -> None:
        """See that whoever mounts the filesystem has done so."""
        self._directory.check()

    def recover(self) -> tuple[str, ...]:
        """Drop what was about to replace a file; give the folder an id."""
        self._directory.keep_identity()
        with self._directory.work('clear up') as opened:
            return files.drop_unfinished(opened)

    def check(self) -> None:
        """Try for real what the store needs: write, and share extents."""
        self._directory.check()
        probe.check(self._path, self._clone)

    def create(self, name: str, size_bytes: int) -> None:
        """Make a file that is one hole."""
        base.check_name(name)
        base.check_size(name, size_bytes)
        with self._directory.work(f'create {name}', size_bytes) as folder:
            found = files.stat_of(folder, name)
            if found and (found.st_size, found.st_blocks) == (size_bytes, 0):
                return
            if found:
                raise files.taken(name)
            self._directory.check_room(folder)
            with files.unnamed(folder) as target:
                os.ftruncate(target, size_bytes)
                files.publish(target, folder, name)

    def delete(self, name: str) -> None:
        """Unlink the file; the filesystem frees its extents later."""
        base.check_name(name)
        with self._directory.work(f'delete {name}') as folder:
            files.remove(folder, name)

    def extend(self, name: str, size_bytes: int) -> None:
        """Move the end of the file; flush it in any case."""
        base.check_name(name)
        base.check_size(name, size_bytes)
        with self._directory.work(f'extend {name}', size_bytes) as folder, \
                self._directory.opened(folder, name, os.O_RDWR) as target:
            current = os.fstat(target).st_size
            if current > size_bytes:
                raise exception.StoreError(
                    f'extend {name} to {size_bytes} bytes',
                    f'it has {current} already, and nothing is ever shrunk')
            if current < size_bytes:
                self._directory.check_room(folder)
                os.ftruncate(target, size_bytes)
            os.fsync(target)

    def snapshot(self, source: str, name: str) -> None:
        """Share the source's extents with a new file."""
        with self._copying(source, name) as (folder, origin):
            size_bytes = os.fstat(origin).st_size
            found = files.stat_of(folder, name)
            if found and found.st_size == size_bytes:
                return
            self._share(folder, origin, name, size_bytes)

    def snapshot_group(self, pairs: Sequence[tuple[str, str]]) -> None:
        """Share one source's extents after the other's."""
        batch.snapshot_in_turn(self, pairs)

    def clone(self, source: str, name: str, size_bytes: int) -> None:
        """Share the source's extents with a new file, perhaps larger."""
        base.check_size(name, size_bytes)
        with self._copying(source, name) as (folder, origin):
            current = os.fstat(origin).st_size
            if current > size_bytes:
                raise exception.StoreError(
                    f'clone {source} into {size_bytes} bytes',
                    f'it has {current}')
            self._share(folder, origin, name, size_bytes)

    @contextlib.contextmanager
    def _copying(self, source: str, name: str) -> Iterator[tuple[int, int]]:
        """Give the folder and the source, both open."""
        base.check_name(source)
        base.check_name(name)
        with self._directory.work(f'copy {source} to {name}') as folder, \
                self._directory.opened(folder, source, os.O_RDONLY) as origin:
            yield folder, origin

    def _share(self, folder: int, origin: int, name: str,
               size_bytes: int) -> None:
        if files.stat_of(folder, name):
            raise files.taken(name)
        self._directory.check_room(folder)
        with files.unnamed(folder) as target:
            self._clone(origin, target)
            os.ftruncate(target, size_bytes)
            files.publish(target, folder, name)

    def share(self, source_fd: int, name: str, size_bytes: int) -> bool:
        """Share the extents of any file on this filesystem."""
        base.check_name(name)
        base.check_size(name, size_bytes)
        with self._directory.work(f'make {name}', size_bytes) as folder:
            try:
                self._share(folder, source_fd, name, size_bytes)
            except OSError as e:
                if e.errno in probe.NO_REFLINK:
                    return False
                raise
        return True

    def revert(self, name: str, snapshot: str) -> None:
        """Let a file that shares the snapshot's extents take the place."""
        with self._copying(snapshot, name) as (folder, origin), \
                self._directory.opened(folder, name, os.O_RDONLY) as present, \
                files.unnamed(folder) as target:
            self._directory.check_room(folder)
            size_bytes = os.fstat(present).st_size
            kept_bytes = os.fstat(origin).st_size
            if kept_bytes > size_bytes:
                raise exception.StoreError(
                    f'revert {name} of {size_bytes} bytes to {snapshot}',
                    f'that has {kept_bytes}')
            self._clone(origin, target)
            os.ftruncate(target, size_bytes)
            files.replace(target, folder, name)

    def rename(self, old: str, new: str) -> None:
        """Rename the file."""
        base.check_name(old)
        base.check_name(new)
        with self._directory.work(f'rename {old} to {new}') as folder:
            self._rename(folder, old, new)

    def _rename(self, folder: int, old: str, new: str) -> None:
        try:
            files.rename(folder, old, new)
        except FileNotFoundError as e:
            if files.stat_of(folder, new) is None:
                raise exception.BackingNotFound(old, self._path) from e

    def foreign(self) -> tuple[base.Foreign, ...]:
        """Return the regular files that others put into the folder."""
        with self._directory.work('list what can be taken over') as folder:
            found = (files.foreign(folder, name)
                     for name in sorted(os.listdir(folder)))
            return tuple(f for f in found if f)

    def adopt(self, source: str, name: str, size_bytes: int) -> None:
        """Extend the file, make it only ours to read, and rename it."""
        base.check_source(source)
        base.check_name(name)
        base.check_size(name, size_bytes)
        with self._directory.work(f'take over {source}', size_bytes) as folder:
            found = files.stat_of(folder, source)
            if found is not None:
                self._make_ours(folder, source, found, size_bytes)
            self._rename(folder, source, name)

    def _make_ours(self, folder: int, source: str, found: os.stat_result,
                   size_bytes: int) -> None:
        if not stat.S_ISREG(found.st_mode):
            raise exception.BackingNotFound(source, self._path)
        problem = files.problem_of(found)
        if found.st_size > size_bytes:
            problem = f'it has more than {size_bytes} bytes'
        if problem:
            raise exception.StoreError(f'take over {source}', problem)
        with self._directory.opened(folder, source, os.O_RDWR) as target:
            os.ftruncate(target, size_bytes)
            os.fchmod(target, files.MODE)
            os.fsync(target)

    def exists(self, name: str) -> bool:
        """Tell whether the file is there."""
        base.check_name(name)
        with self._directory.work(f'look for {name}') as folder:
            return files.stat_of(folder, name) is not None

    def names(self) -> tuple[str, ...]:
        """Return the names of our files, and of nothing else there."""
        with self._directory.work('list its backings') as folder:
            return tuple(sorted(name for name, _found in files.ours(folder)))

    def extents(self, name: str) -> int:
        """Let the filesystem count them: a millisecond for each thousand."""
        base.check_name(name)
        with self._directory.work(f'count the extents of {name}') as folder, \
                self._directory.opened(folder, name, os.O_RDONLY) as backing:
            return extents.count(backing)

    def device(self, name: str) -> model.BackingDevice:
        """Return the file."""
        base.check_name(name)
        with self._directory.work(f'look for {name}') as folder:
            found = files.stat_of(folder, name)
        if found is None:
            raise exception.BackingNotFound(name, self._path)
        if not stat.S_ISREG(found.st_mode):
            raise exception.StoreError(
                f'export {name}', 'it is not a regular file')
        return model.BackingDevice(
            'fileio', os.path.join(self._path, name), found.st_size)

    def bring_up(self, name: str) -> model.BackingDevice:
        """Return the device: it is always up."""
        return self.device(name)

    def let_down(self, name: str) -> None:
        """Leave the device up."""

    def capacity(self) -> base.Capacity:
        """Ask the filesystem, and add up what the files show."""
        with self._directory.work('measure its room') as folder:
            room = os.fstatvfs(folder)
            provisioned_bytes = sum(
                found.st_size for _name, found in files.ours(folder))
        return base.Capacity(
            room.f_blocks * room.f_frsize, room.f_bavail * room.f_frsize,
            provisioned_bytes)

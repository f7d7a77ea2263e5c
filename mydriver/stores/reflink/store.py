# SPDX-License-Identifier: Apache-2.0
"""The store of raw sparse files on a filesystem that shares extents.

A backing is a file, and all files are in one directory on XFS or btrfs.
Snapshots and clones share the extents of their source (``FICLONE``,
ioctl_ficlonerange(2)), which takes a few metadata writes for any size.

A new file has no name until it is complete: it is opened with ``O_TMPFILE``,
filled, flushed, and then linked into the directory (open(2)). A crash leaves
nothing to clean up, because the filesystem drops files without a name.

Everything runs as the user of the service.
"""

from collections.abc import Iterator, Sequence
import contextlib
import fcntl
import os
import stat

from mydriver import exception, model
from mydriver.stores import base, batch, identity, names, refusals
from mydriver.stores.reflink import directory, extents, files, probe

#: _IOW(0x94, 9, int) of include/uapi/linux/fs.h.
_FICLONE = 0x40049409


def ficlone(source_fd: int, target_fd: int) -> None:
    """Let one open file share all extents of another, atomically.

    Dirty pages of the source are written out first, so that the copy has what
    a running guest wrote through the target (fs/remap_range.c).
    """
    fcntl.ioctl(target_fd, _FICLONE, source_fd)


class ReflinkStore:
    """Raw sparse files in a directory; see :class:`.base.VolumeStore`.

    :param path: absolute path of the directory.
    :param clone: replaces :func:`ficlone` in tests on filesystems without
        shared extents.
    :param record: the id of the store that was in the directory before.
    """

    # FICLONE works on one file at a time, and keeps it locked while it goes
    # from extent to extent.
    traits = base.Traits(
        backstore='fileio', consistent_groups=False, thin=True,
        shares_files=True, copies_hold_writes=True,
        fixed_block_bytes=base.BLOCK_BYTES, needs_native_thread=True,
        native=False)

    def __init__(self, path: str, clone: probe.Clone = ficlone,
                 record: identity.Record | None = None) -> None:
        self._path = path
        self._clone = clone
        self._directory = directory.Directory(
            path, record or identity.Record())

    @property
    def location(self) -> str:
        """The directory."""
        return self._path

    def block_bytes(self) -> int:
        """Return what LIO reports for regular files on any disk.

        Source: drivers/target/target_core_file.h, FD_BLOCKSIZE.
        """
        return base.BLOCK_BYTES

    @property
    def is_known(self) -> bool:
        """Whether the directory or the record has an id."""
        return self._directory.is_known()

    def prepare(self) -> None:
        """Check that the filesystem is mounted, which is up to the host."""
        self._directory.check()

    def recover(self) -> tuple[str, ...]:
        """Remove files of interrupted reverts; give the directory an id."""
        self._directory.keep_identity()
        with self._directory.work('clean up') as folder:
            return files.drop_unfinished(folder)

    def check(self) -> None:
        """Try what the store needs: write, and share extents."""
        self._directory.check()
        probe.check(self._path, self._clone)

    def create(self, name: str, size_bytes: int) -> None:
        """Create a file that is one hole."""
        refusals.refuse_odd_name(name)
        refusals.refuse_odd_size(name, size_bytes)
        with self._directory.work(f'create {name}', size_bytes) as folder:
            found = files.stat_of(folder, name)
            if found and (found.st_size, found.st_blocks) == (size_bytes, 0):
                return
            if found:
                refusals.refuse_taken(name)
            self._directory.check_room(folder)
            with files.unnamed(folder) as target:
                os.ftruncate(target, size_bytes)
                files.publish(target, folder, name)

    def delete(self, name: str) -> None:
        """Unlink the file; the filesystem frees its extents later."""
        refusals.refuse_odd_name(name)
        with self._directory.work(f'delete {name}') as folder:
            files.remove(folder, name)

    def extend(self, name: str, size_bytes: int) -> None:
        """Move the end of the file, and flush it in any case."""
        refusals.refuse_odd_name(name)
        refusals.refuse_odd_size(name, size_bytes)
        with self._directory.work(f'extend {name}', size_bytes) as folder, \
                self._directory.opened(folder, name, os.O_RDWR) as target:
            current = os.fstat(target).st_size
            refusals.refuse_shrinking(name, current, size_bytes)
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
        """Share the extents of one source after the other."""
        batch.snapshot_in_turn(self, pairs)

    def clone(self, source: str, name: str, size_bytes: int) -> None:
        """Share the source's extents with a new file that may be larger."""
        refusals.refuse_odd_size(name, size_bytes)
        with self._copying(source, name) as (folder, origin):
            refusals.refuse_small_clone(
                source, os.fstat(origin).st_size, size_bytes)
            self._share(folder, origin, name, size_bytes)

    @contextlib.contextmanager
    def _copying(self, source: str, name: str) -> Iterator[tuple[int, int]]:
        """Open the directory and the source."""
        refusals.refuse_odd_name(source)
        refusals.refuse_odd_name(name)
        with self._directory.work(f'copy {source} to {name}') as folder, \
                self._directory.opened(folder, source, os.O_RDONLY) as origin:
            yield folder, origin

    def _share(self, folder: int, origin: int, name: str,
               size_bytes: int) -> None:
        if files.stat_of(folder, name):
            refusals.refuse_taken(name)
        self._directory.check_room(folder)
        with files.unnamed(folder) as target:
            self._clone(origin, target)
            os.ftruncate(target, size_bytes)
            files.publish(target, folder, name)

    def share(self, source_fd: int, name: str, size_bytes: int) -> bool:
        """Share the extents of a file on the same filesystem."""
        refusals.refuse_odd_name(name)
        refusals.refuse_odd_size(name, size_bytes)
        with self._directory.work(f'make {name}', size_bytes) as folder:
            try:
                self._share(folder, source_fd, name, size_bytes)
            except OSError as e:
                if e.errno in probe.NO_REFLINK:
                    return False
                raise
        return True

    def revert(self, name: str, snapshot: str) -> None:
        """Replace the file by one that shares the snapshot's extents."""
        with self._copying(snapshot, name) as (folder, origin), \
                self._directory.opened(folder, name, os.O_RDONLY) as present, \
                files.unnamed(folder) as target:
            self._directory.check_room(folder)
            size_bytes = os.fstat(present).st_size
            refusals.refuse_large_snapshot(
                name, size_bytes, snapshot, os.fstat(origin).st_size)
            self._clone(origin, target)
            os.ftruncate(target, size_bytes)
            files.replace(target, folder, name)

    def rename(self, old: str, new: str) -> None:
        """Rename the file."""
        refusals.refuse_odd_name(old)
        refusals.refuse_odd_name(new)
        with self._directory.work(f'rename {old} to {new}') as folder:
            self._rename(folder, old, new)

    def _rename(self, folder: int, old: str, new: str) -> None:
        try:
            files.rename(folder, old, new)
        except FileNotFoundError as e:
            if files.stat_of(folder, new) is None:
                raise exception.BackingNotFound(old, self._path) from e

    def foreign(self) -> tuple[base.Foreign, ...]:
        """Return the regular files that others put into the directory."""
        with self._directory.work('list foreign files') as folder:
            found = (files.foreign(folder, name)
                     for name in sorted(os.listdir(folder)))
            return tuple(f for f in found if f)

    def adopt(self, source: str, name: str, size_bytes: int) -> None:
        """Extend the file, make it accessible to us alone, and rename it."""
        names.check_source(source)
        refusals.refuse_odd_name(name)
        refusals.refuse_odd_size(name, size_bytes)
        with self._directory.work(f'take over {source}', size_bytes) as folder:
            found = files.stat_of(folder, source)
            if found is not None:
                self._make_ours(folder, source, found, size_bytes)
            self._rename(folder, source, name)

    def _make_ours(self, folder: int, source: str, found: os.stat_result,
                   size_bytes: int) -> None:
        if not stat.S_ISREG(found.st_mode):
            raise exception.BackingNotFound(source, self._path)
        refusals.refuse_adoption(source, found.st_size, size_bytes,
                                 files.problem_of(found))
        with self._directory.opened(folder, source, os.O_RDWR) as target:
            os.ftruncate(target, size_bytes)
            os.fchmod(target, files.MODE)
            os.fsync(target)

    def exists(self, name: str) -> bool:
        """Tell whether the file is there."""
        refusals.refuse_odd_name(name)
        with self._directory.work(f'look for {name}') as folder:
            return files.stat_of(folder, name) is not None

    def names(self) -> tuple[str, ...]:
        """Return the names of our files."""
        with self._directory.work('list backings') as folder:
            return tuple(sorted(name for name, _found in files.ours(folder)))

    def extents(self, name: str) -> int:
        """Ask the filesystem: a millisecond for each thousand."""
        refusals.refuse_odd_name(name)
        with self._directory.work(f'count the extents of {name}') as folder, \
                self._directory.opened(folder, name, os.O_RDONLY) as backing:
            return extents.count(backing)

    def device(self, name: str) -> model.BackingDevice:
        """Return the file."""
        refusals.refuse_odd_name(name)
        with self._directory.work(f'look for {name}') as folder:
            found = files.stat_of(folder, name)
        if found is None:
            raise exception.BackingNotFound(name, self._path)
        if not stat.S_ISREG(found.st_mode):
            raise exception.StoreError(
                f'export {name}', 'it is not a regular file')
        return model.BackingDevice(
            self.traits.backstore, os.path.join(self._path, name),
            found.st_size)

    def bring_up(self, name: str) -> model.BackingDevice:
        """Return the file, which is always there."""
        return self.device(name)

    def let_down(self, name: str) -> None:
        """Do nothing: the file is always there."""
        refusals.refuse_odd_name(name)

    def capacity(self) -> base.Capacity:
        """Ask the filesystem, and add up the sizes of our files."""
        with self._directory.work('measure the room') as folder:
            room = os.fstatvfs(folder)
            provisioned_bytes = sum(
                found.st_size for _name, found in files.ours(folder))
        return base.Capacity(
            room.f_blocks * room.f_frsize, room.f_bavail * room.f_frsize,
            provisioned_bytes)

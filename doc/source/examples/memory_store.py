# SPDX-License-Identifier: Apache-2.0
"""A store in memory, as an example: files in a directory on a tmpfs.

It copies where a real store shares extents, and a reboot empties it. To show
the life of a device, a backing has no path until it is brought up: a hidden
hard link stands for the device node that a mapped volume would have.
"""

from collections.abc import Iterator, Sequence
import contextlib
import errno
import os
import stat
import threading

from mydriver import exception, model
from mydriver.stores import base, batch, identity, names, refusals

#: Prefix of a file that is not complete yet.
_DRAFT = '.draft-'
#: Prefix of the path of a backing that is up.
_UP = '.up-'


class MemoryStore:
    """Files on a tmpfs; see :class:`.base.VolumeStore`.

    :param path: absolute path of a directory on a tmpfs.
    :param record: the id of the store that was in the directory before.
    """

    traits = base.Traits(
        backstore='fileio', consistent_groups=False, thin=True,
        shares_files=False, copies_hold_writes=False,
        fixed_block_bytes=base.BLOCK_BYTES, needs_native_thread=True,
        native=False)

    def __init__(self, path: str,
                 record: identity.Record | None = None) -> None:
        self._path = path
        self._record = record or identity.Record()
        self._lock = threading.Lock()

    @property
    def location(self) -> str:
        """The directory."""
        return self._path

    def block_bytes(self) -> int:
        """Return what LIO reports for regular files."""
        return base.BLOCK_BYTES

    # [identity]

    @contextlib.contextmanager
    def _work(self, what: str, needed_bytes: int = 0) -> Iterator[int]:
        """Open the directory, if it is still this store's."""
        try:
            with self._lock:
                folder = os.open(self._path, os.O_RDONLY | os.O_DIRECTORY)
                try:
                    self._record.compare(
                        identity.read_marker(folder), self._path,
                        'Check that the tmpfs is mounted there.')
                    yield folder
                finally:
                    os.close(folder)
        except OSError as e:
            if e.errno == errno.ENOSPC:
                room = os.statvfs(self._path)
                raise exception.StoreFull(
                    self._path, needed_bytes,
                    room.f_bavail * room.f_frsize) from e
            raise exception.StoreError(
                f'{what} in {self._path}', e.strerror or str(e)) from e

    @property
    def is_known(self) -> bool:
        """Whether there is a record, or an id in the directory."""
        with self._work('look for the id of the store') as folder:
            return bool(self._record.known() or identity.read_marker(folder))

    def prepare(self) -> None:
        """Check that the directory is there; the host mounts it."""
        with self._work('open the store'):
            pass

    def check(self) -> None:
        """Check that the directory is there and can be written."""
        with self._work('open the store') as folder:
            if not os.access('.', os.W_OK, dir_fd=folder, effective_ids=True):
                raise exception.ConfigurationError(
                    identity.OPTION, f'{self._path} cannot be written',
                    'Give it to the user of cinder-volume.')

    def recover(self) -> tuple[str, ...]:
        """Remove drafts, which nobody can know of; record the id."""
        with self._work('clean up') as folder:
            self._record.write(identity.read_marker(folder)
                               or identity.make_marker(folder))
            for name in os.listdir(folder):
                if name.startswith(_DRAFT):
                    os.unlink(name, dir_fd=folder)
        return ()

    # [backings]

    def create(self, name: str, size_bytes: int) -> None:
        """Create a file that is one hole."""
        refusals.refuse_odd_name(name)
        refusals.refuse_odd_size(name, size_bytes)
        with self._work(f'create {name}', size_bytes) as folder:
            found = _status(folder, name)
            if found and (found.st_size, found.st_blocks) == (size_bytes, 0):
                return
            if found:
                refusals.refuse_taken(name)
            with _draft(folder, name) as target:
                os.ftruncate(target, size_bytes)
                _publish(folder, name)

    def delete(self, name: str) -> None:
        """Unlink the file and its path."""
        refusals.refuse_odd_name(name)
        with self._work(f'delete {name}') as folder:
            for each in (_UP + name, name):
                with contextlib.suppress(FileNotFoundError):
                    os.unlink(each, dir_fd=folder)

    def extend(self, name: str, size_bytes: int) -> None:
        """Move the end of the file."""
        refusals.refuse_odd_name(name)
        refusals.refuse_odd_size(name, size_bytes)
        with self._work(f'extend {name}', size_bytes) as folder, \
                self._opened(folder, name, os.O_RDWR) as target:
            refusals.refuse_shrinking(
                name, os.fstat(target).st_size, size_bytes)
            os.ftruncate(target, size_bytes)
            os.fsync(target)

    def rename(self, old: str, new: str) -> None:
        """Rename the file."""
        refusals.refuse_odd_name(old)
        refusals.refuse_odd_name(new)
        with self._work(f'rename {old} to {new}') as folder:
            self._rename(folder, old, new)

    def _rename(self, folder: int, old: str, new: str) -> None:
        taken = _status(folder, new)
        if _status(folder, old) is None:
            if taken is None:
                raise exception.BackingNotFound(old, self._path)
            return
        if taken:
            refusals.refuse_taken(new)
        _release(folder, old)
        os.rename(old, new, src_dir_fd=folder, dst_dir_fd=folder)

    # [copies]

    def snapshot(self, source: str, name: str) -> None:
        """Copy the file."""
        refusals.refuse_odd_name(name)
        with self._copying(source, name) as (folder, origin):
            size_bytes = os.fstat(origin).st_size
            found = _status(folder, name)
            if found and found.st_size == size_bytes:
                return
            self._copy(folder, origin, name, size_bytes)

    def snapshot_group(self, pairs: Sequence[tuple[str, str]]) -> None:
        """Copy one file after the other."""
        batch.snapshot_in_turn(self, pairs)

    def clone(self, source: str, name: str, size_bytes: int) -> None:
        """Copy the file to one that may be larger."""
        refusals.refuse_odd_name(name)
        refusals.refuse_odd_size(name, size_bytes)
        with self._copying(source, name) as (folder, origin):
            refusals.refuse_small_clone(
                source, os.fstat(origin).st_size, size_bytes)
            self._copy(folder, origin, name, size_bytes)

    def share(self, source_fd: int, name: str, size_bytes: int) -> bool:
        """Return False: a tmpfs shares no extents."""
        refusals.refuse_odd_name(name)
        return False

    def revert(self, name: str, snapshot: str) -> None:
        """Replace the file by a copy of the snapshot."""
        refusals.refuse_odd_name(name)
        with self._copying(snapshot, name) as (folder, origin), \
                self._opened(folder, name, os.O_RDONLY) as present:
            size_bytes = os.fstat(present).st_size
            refusals.refuse_large_snapshot(
                name, size_bytes, snapshot, os.fstat(origin).st_size)
            with _draft(folder, name) as target:
                _copy_data(origin, target)
                os.ftruncate(target, size_bytes)
                _release(folder, name)
                os.rename(_DRAFT + name, name, src_dir_fd=folder,
                          dst_dir_fd=folder)

    @contextlib.contextmanager
    def _copying(self, source: str, name: str) -> Iterator[tuple[int, int]]:
        refusals.refuse_odd_name(source)
        with self._work(f'copy {source} to {name}') as folder, \
                self._opened(folder, source, os.O_RDONLY) as origin:
            yield folder, origin

    def _copy(self, folder: int, origin: int, name: str,
              size_bytes: int) -> None:
        if _status(folder, name):
            refusals.refuse_taken(name)
        with _draft(folder, name) as target:
            _copy_data(origin, target)
            os.ftruncate(target, size_bytes)
            _publish(folder, name)

    # [foreign]

    def foreign(self) -> tuple[base.Foreign, ...]:
        """Return the regular files that others put there."""
        with self._work('list foreign files') as folder:
            return tuple(
                base.Foreign(name, found.st_size)
                for name, found in _files(folder)
                if names.is_foreign_name(name))

    def adopt(self, source: str, name: str, size_bytes: int) -> None:
        """Extend the file and rename it."""
        names.check_source(source)
        refusals.refuse_odd_name(name)
        refusals.refuse_odd_size(name, size_bytes)
        with self._work(f'take over {source}', size_bytes) as folder:
            if _status(folder, source):
                with self._opened(folder, source, os.O_RDWR) as target:
                    refusals.refuse_adoption(
                        source, os.fstat(target).st_size, size_bytes, None)
                    if _status(folder, name):
                        refusals.refuse_taken(name)
                    os.ftruncate(target, size_bytes)
            self._rename(folder, source, name)

    # [queries]

    def exists(self, name: str) -> bool:
        """Tell whether the file is there."""
        refusals.refuse_odd_name(name)
        with self._work(f'look for {name}') as folder:
            return _status(folder, name) is not None

    def names(self) -> tuple[str, ...]:
        """Return the names of our files."""
        with self._work('list backings') as folder:
            return tuple(name for name, _found in _files(folder)
                         if names.is_name(name))

    def extents(self, name: str) -> int:
        """Return 0: writes do not wait for a copy."""
        refusals.refuse_odd_name(name)
        return 0

    def capacity(self) -> base.Capacity:
        """Ask the tmpfs, and add up the sizes of our files."""
        with self._work('measure the room') as folder:
            room = os.fstatvfs(folder)
            sizes = [found.st_size for name, found in _files(folder)
                     if names.is_name(name)]
        return base.Capacity(room.f_blocks * room.f_frsize,
                             room.f_bavail * room.f_frsize, sum(sizes))

    # [device]

    def device(self, name: str) -> model.BackingDevice:
        """Return the path that the file has while it is up."""
        refusals.refuse_odd_name(name)
        with self._work(f'look for {name}') as folder, \
                self._opened(folder, name, os.O_RDONLY) as backing:
            return model.BackingDevice(
                self.traits.backstore, os.path.join(self._path, _UP + name),
                os.fstat(backing).st_size)

    def bring_up(self, name: str) -> model.BackingDevice:
        """Give the file its path, unless it has one."""
        device = self.device(name)
        with self._work(f'bring up {name}') as folder, \
                contextlib.suppress(FileExistsError):
            os.link(name, _UP + name, src_dir_fd=folder, dst_dir_fd=folder)
        return device

    def let_down(self, name: str) -> None:
        """Take the path from the file, if it has one."""
        refusals.refuse_odd_name(name)
        with self._work(f'let down {name}') as folder:
            _release(folder, name)

    # [end]

    @contextlib.contextmanager
    def _opened(self, folder: int, name: str, flags: int) -> Iterator[int]:
        """Open a regular file of the directory."""
        try:
            fd = os.open(name, flags | os.O_NOFOLLOW | os.O_NONBLOCK,
                         dir_fd=folder)
        except FileNotFoundError as e:
            raise exception.BackingNotFound(name, self._path) from e
        try:
            if not stat.S_ISREG(os.fstat(fd).st_mode):
                raise exception.StoreError(
                    f'use {name}', 'it is not a regular file')
            yield fd
        finally:
            os.close(fd)


def _status(folder: int, name: str) -> os.stat_result | None:
    try:
        return os.stat(name, dir_fd=folder, follow_symlinks=False)
    except FileNotFoundError:
        return None


def _files(folder: int) -> Iterator[tuple[str, os.stat_result]]:
    """Return the regular files of a directory, sorted by name."""
    for name in sorted(os.listdir(folder)):
        found = _status(folder, name)
        if found and stat.S_ISREG(found.st_mode):
            yield name, found


@contextlib.contextmanager
def _draft(folder: int, name: str) -> Iterator[int]:
    """Open a new file that does not have its name yet."""
    fd = os.open(_DRAFT + name, os.O_CREAT | os.O_TRUNC | os.O_RDWR, 0o600,
                 dir_fd=folder)
    try:
        yield fd
    finally:
        os.close(fd)
        with contextlib.suppress(FileNotFoundError):
            os.unlink(_DRAFT + name, dir_fd=folder)


def _publish(folder: int, name: str) -> None:
    """Give a draft its name; never replace another file."""
    try:
        os.link(_DRAFT + name, name, src_dir_fd=folder, dst_dir_fd=folder)
    except FileExistsError as e:
        refusals.refuse_taken(name, e)


def _release(folder: int, name: str) -> None:
    with contextlib.suppress(FileNotFoundError):
        os.unlink(_UP + name, dir_fd=folder)


def _copy_data(source: int, target: int) -> None:
    """Copy a file, but not its holes."""
    size_bytes, at = os.fstat(source).st_size, 0
    os.ftruncate(target, size_bytes)
    while at < size_bytes:
        try:
            at = os.lseek(source, at, os.SEEK_DATA)
        except OSError as e:
            if e.errno == errno.ENXIO:  # no more data
                return
            raise
        end = os.lseek(source, at, os.SEEK_HOLE)
        while at < end:
            at += os.copy_file_range(source, target, end - at, at, at)

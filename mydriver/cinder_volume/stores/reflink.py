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

from collections.abc import Callable, Iterator
import contextlib
import errno
import fcntl
import os
import stat

from mydriver import exception, model
from mydriver.cinder_volume.stores import base

OPTION = 'mydriver_store_path'

#: _IOW(0x94, 9, int) of include/uapi/linux/fs.h.
_FICLONE = 0x40049409

_MODE = 0o600

_NO_ROOM = (errno.ENOSPC, errno.EDQUOT)
_NOT_ALLOWED = (errno.EACCES, errno.EPERM, errno.EROFS)
_NO_REFLINK = (errno.EOPNOTSUPP, errno.ENOTTY, errno.EINVAL, errno.EISDIR,
               errno.ENOSYS, errno.EXDEV)

#: Makes the second open file share the contents of the first one.
Clone = Callable[[int, int], None]


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
    """

    def __init__(self, path: str, clone: Clone = ficlone) -> None:
        self._path = path
        self._clone = clone

    @property
    def location(self) -> str:
        """The folder."""
        return self._path

    def check(self) -> None:
        """Try for real what the store needs: write, and share extents."""
        if not os.path.isabs(self._path):
            raise _wrong(f'{self._path!r} is not an absolute path',
                         'Give the full path of a folder on XFS or btrfs.')
        try:
            folder = os.open(self._path, os.O_RDONLY | os.O_DIRECTORY)
        except FileNotFoundError as e:
            raise _wrong(f'{self._path} does not exist',
                         'Mount an XFS or btrfs filesystem and create the '
                         f'folder for the user of cinder-volume{_me()}.'
                         ) from e
        except NotADirectoryError as e:
            raise _wrong(f'{self._path} is not a folder',
                         'Give the path of a folder on XFS or btrfs.') from e
        except OSError as e:
            raise _unusable(self._path, e) from e
        try:
            self._probe(folder)
        except OSError as e:
            if e.errno in _NO_REFLINK:
                raise _wrong(
                    f'{self._path} is on a filesystem that cannot share '
                    f'extents ({e.strerror})', 'Use XFS made with reflink=1 '
                    '(the default of mkfs.xfs) or btrfs, and see that it is '
                    'mounted.') from e
            raise _unusable(self._path, e) from e
        finally:
            os.close(folder)

    def _probe(self, folder: int) -> None:
        """Share extents between two files without a name."""
        with _unnamed(folder) as source, _unnamed(folder) as target:
            os.ftruncate(source, 4096)
            self._clone(source, target)

    def create(self, name: str, size_bytes: int) -> None:
        """Make a file that is one hole."""
        base.check_name(name)
        base.check_size(name, size_bytes)
        with self._work(f'create {name}', size_bytes) as folder:
            found = _stat(folder, name)
            if found and (found.st_size, found.st_blocks) == (size_bytes, 0):
                return
            if found:
                raise _taken(name)
            with _unnamed(folder) as target:
                os.ftruncate(target, size_bytes)
                _publish(target, folder, name)

    def delete(self, name: str) -> None:
        """Unlink the file; the filesystem frees its extents later."""
        base.check_name(name)
        with self._work(f'delete {name}') as folder:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(name, dir_fd=folder)
            os.fsync(folder)

    def extend(self, name: str, size_bytes: int) -> None:
        """Move the end of the file; flush it in any case."""
        base.check_name(name)
        base.check_size(name, size_bytes)
        with self._work(f'extend {name}', size_bytes) as folder, \
                self._opened(folder, name, os.O_RDWR) as target:
            current = os.fstat(target).st_size
            if current > size_bytes:
                raise exception.StoreError(
                    f'extend {name} to {size_bytes} bytes',
                    f'it has {current} already, and nothing is ever shrunk')
            if current < size_bytes:
                os.ftruncate(target, size_bytes)
            os.fsync(target)

    def snapshot(self, source: str, name: str) -> None:
        """Share the source's extents with a new file."""
        with self._copying(source, name) as (folder, origin):
            size_bytes = os.fstat(origin).st_size
            found = _stat(folder, name)
            if found and found.st_size == size_bytes:
                return
            self._share(folder, origin, name, size_bytes)

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
        with self._work(f'copy {source} to {name}') as folder, \
                self._opened(folder, source, os.O_RDONLY) as origin:
            yield folder, origin

    def _share(self, folder: int, origin: int, name: str,
               size_bytes: int) -> None:
        if _stat(folder, name):
            raise _taken(name)
        with _unnamed(folder) as target:
            self._clone(origin, target)
            os.ftruncate(target, size_bytes)
            _publish(target, folder, name)

    def exists(self, name: str) -> bool:
        """Tell whether the file is there."""
        base.check_name(name)
        with self._work(f'look for {name}') as folder:
            return _stat(folder, name) is not None

    def names(self) -> tuple[str, ...]:
        """Return the names of our files; other people's are not shown."""
        with self._work('list its backings') as folder:
            return tuple(sorted(filter(base.is_name, os.listdir(folder))))

    def device(self, name: str) -> model.BackingDevice:
        """Return the file."""
        base.check_name(name)
        with self._work(f'look for {name}') as folder:
            found = _stat(folder, name)
        if found is None:
            raise exception.BackingNotFound(name, self._path)
        if not stat.S_ISREG(found.st_mode):
            raise exception.StoreError(
                f'export {name}', 'it is not a regular file')
        return model.BackingDevice(
            'fileio', os.path.join(self._path, name), found.st_size)

    def capacity(self) -> base.Capacity:
        """Ask the filesystem, and add up what the files show."""
        with self._work('measure its room') as folder:
            room = os.fstatvfs(folder)
            shown = (_stat(folder, name) for name in os.listdir(folder)
                     if base.is_name(name))
            provisioned_bytes = sum(s.st_size for s in shown if s)
        return base.Capacity(
            room.f_blocks * room.f_frsize, room.f_bavail * room.f_frsize,
            provisioned_bytes)

    @contextlib.contextmanager
    def _opened(self, folder: int, name: str, flags: int) -> Iterator[int]:
        """Open a backing, never through a symbolic link."""
        try:
            fd = os.open(name, flags | os.O_NOFOLLOW, dir_fd=folder)
        except FileNotFoundError as e:
            raise exception.BackingNotFound(name, self._path) from e
        try:
            yield fd
        finally:
            os.close(fd)

    @contextlib.contextmanager
    def _work(self, what: str, needed_bytes: int = 0) -> Iterator[int]:
        """Give the open folder; turn the system's errors into ours.

        :param what: what is being done, for the error's text.
        """
        try:
            folder = os.open(self._path, os.O_RDONLY | os.O_DIRECTORY)
            try:
                yield folder
            finally:
                os.close(folder)
        except OSError as e:
            if e.errno in _NO_ROOM:
                raise exception.StoreFull(
                    self._path, needed_bytes, self._free_bytes()) from e
            raise exception.StoreError(
                f'{what} in {self._path}', e.strerror or str(e)) from e

    def _free_bytes(self) -> int:
        room = os.statvfs(self._path)
        return room.f_bavail * room.f_frsize


@contextlib.contextmanager
def _unnamed(folder: int) -> Iterator[int]:
    """Open a new file in the folder that has no name yet."""
    fd = os.open('.', os.O_TMPFILE | os.O_RDWR, _MODE, dir_fd=folder)
    try:
        yield fd
    finally:
        os.close(fd)


def _publish(fd: int, folder: int, name: str) -> None:
    """Give a finished file its name, durably; never over another's.

    ``src_dir_fd`` is of no use for an absolute path, but makes Python call
    linkat(2) with AT_SYMLINK_FOLLOW, as open(2) has it for O_TMPFILE.
    """
    os.fsync(fd)
    try:
        os.link(f'/proc/self/fd/{fd}', name, src_dir_fd=folder,
                dst_dir_fd=folder, follow_symlinks=True)
    except FileExistsError as e:
        raise _taken(name) from e
    os.fsync(folder)


def _stat(folder: int, name: str) -> os.stat_result | None:
    """Return what is under the name itself, None where there is nothing."""
    try:
        return os.stat(name, dir_fd=folder, follow_symlinks=False)
    except FileNotFoundError:
        return None


def _taken(name: str) -> exception.StoreError:
    return exception.StoreError(
        f'make {name}', 'something with other contents has that name already')


def _wrong(problem: str, remedy: str) -> exception.ConfigurationError:
    return exception.ConfigurationError(OPTION, problem, remedy)


def _unusable(path: str, error: OSError) -> exception.ConfigurationError:
    """Say why the folder cannot be used."""
    if error.errno in _NOT_ALLOWED:
        return _wrong(
            f'{path} cannot be written ({error.strerror})',
            f'Give it to the user of cinder-volume{_me()}, with mode 0750, '
            'and mount it read-write.')
    return _wrong(f'{path} cannot be used ({error.strerror})',
                  'See the kernel log about its filesystem.')


def _me() -> str:
    """Name the user that this process is."""
    return f' (user id {os.geteuid()})'

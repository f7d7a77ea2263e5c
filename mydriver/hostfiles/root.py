# SPDX-License-Identifier: Apache-2.0
"""Read and change files below a root directory.

The root may be an image or a container's filesystem, so links in it are
resolved inside of it. No link that somebody else than root could have made is
followed, and the last part of a path is never a link.
"""

from collections.abc import Callable, Iterator
import contextlib
import errno
import os
import posixpath
import stat

from mydriver import exception, folders
from mydriver.hostfiles import entries


class Root:
    """A root directory.

    :param path: where it is.
    :raises ConfigurationError: when it is not a directory.
    """

    def __init__(self, path: str = '/') -> None:
        self.path = os.path.realpath(path)
        # An empty path, as of a variable that is not set, would be here.
        if not path or not os.path.isdir(self.path):
            raise exception.ConfigurationError(
                '--root', f'{path!r} is not a directory', 'Create it, or '
                'mount the filesystem that belongs there.')

    @property
    def is_host(self) -> bool:
        """Whether this is the root of the running system."""
        return self.path == '/'

    def shown(self, path: str) -> str:
        """Return a path in the root as the running system names it."""
        return path if self.is_host else self.path + path

    def read(self, path: str) -> entries.Found | None:
        """Return a file; None when there is none.

        :param path: absolute path in the root.
        :raises ConfigurationError: when it is not a regular file, or cannot
            be read.
        """
        try:
            with self._folder(posixpath.dirname(path)) as folder:
                return entries.read(folder, posixpath.basename(path))
        except FileNotFoundError:
            return None
        except OSError as e:
            raise self._error(path, e) from e

    def write(self, path: str, content: bytes, mode: int,
              owner: tuple[int, int] = (0, 0)) -> None:
        """Create or replace a file in one step.

        :param path: absolute path; its directory must exist.
        :param content: the new bytes.
        :param mode: the permissions, which it has from the beginning.
        :param owner: user and group, set if this is root.
        :raises ConfigurationError: when the path is something else than a
            regular file, or the file cannot be written.
        """
        try:
            with self._folder(posixpath.dirname(path)) as folder:
                entries.write(folder, posixpath.basename(path), content,
                              mode, owner)
        except OSError as e:
            raise self._error(path, e) from e

    def remove(self, path: str) -> None:
        """Remove a file, and what an interrupted :meth:`write` left of it.

        :raises ConfigurationError: when it cannot be removed.
        """
        self._clear(path, entries.remove)

    def tidy(self, path: str) -> None:
        """Remove what an interrupted :meth:`write` left of a file.

        :raises ConfigurationError: when it cannot be removed.
        """
        self._clear(path, entries.tidy)

    def _clear(self, path: str, clear: Callable[[int, str], None]) -> None:
        """Remove something in the directory of a file."""
        try:
            with self._folder(posixpath.dirname(path)) as folder:
                clear(folder, posixpath.basename(path))
        except FileNotFoundError:
            pass  # not even its directory
        except OSError as e:
            raise self._error(path, e) from e

    def is_folder(self, path: str) -> bool:
        """Tell whether a directory exists.

        :raises ConfigurationError: when it is something else.
        """
        try:
            with self._folder(path) as folder:
                if stat.S_ISDIR(os.fstat(folder).st_mode):
                    return True
                raise NotADirectoryError(errno.ENOTDIR, 'not a directory')
        except FileNotFoundError:
            self._refuse_link(path)
            return False
        except OSError as e:
            raise self._error(path, e) from e

    def missing(self, path: str) -> list[str]:
        """Return a directory and those above it that do not exist.

        :returns: the highest one first.
        """
        absent: list[str] = []
        while not self.is_folder(path):
            absent.insert(0, path)
            path = posixpath.dirname(path)
        return absent

    def make_folder(self, path: str, mode: int) -> None:
        """Create a directory in one that exists, unless it is there.

        :raises ConfigurationError: when it cannot be created.
        """
        try:
            with self._folder(posixpath.dirname(path)) as folder:
                name = posixpath.basename(path)
                os.mkdir(name, mode, dir_fd=folder)
                # Whatever the umask is.
                os.chmod(name, mode, dir_fd=folder)
                entries.sync(folder)
        except FileExistsError:
            self.is_folder(path)
        except OSError as e:
            raise self._error(path, e) from e

    def remove_folder(self, path: str) -> bool:
        """Remove a directory if it is empty.

        :returns: whether it is gone.
        :raises ConfigurationError: when it is empty and cannot be removed.
        """
        try:
            with self._folder(posixpath.dirname(path)) as folder:
                os.rmdir(posixpath.basename(path), dir_fd=folder)
                entries.sync(folder)
        except FileNotFoundError:
            return True
        except OSError as e:
            if e.errno in (errno.ENOTEMPTY, errno.EEXIST, errno.EBUSY,
                           errno.ENOTDIR):
                return False
            raise self._error(path, e) from e
        return True

    def names(self, path: str) -> list[str]:
        """Return the names in a directory, sorted; none if it is absent."""
        try:
            with self._folder(path) as folder:
                opened = os.open('.', os.O_RDONLY | os.O_DIRECTORY,
                                 dir_fd=folder)
                try:
                    return sorted(os.listdir(opened))
                finally:
                    os.close(opened)
        except FileNotFoundError:
            return []
        except OSError as e:
            raise self._error(path, e) from e

    def remove_link(self, path: str) -> bool:
        """Remove a symbolic link; leave anything else.

        :returns: whether there was one.
        """
        try:
            with self._folder(posixpath.dirname(path)) as folder:
                name = posixpath.basename(path)
                found = os.stat(name, dir_fd=folder, follow_symlinks=False)
                if not stat.S_ISLNK(found.st_mode):
                    return False
                entries.unlink(folder, name)
                entries.sync(folder)
                return True
        except FileNotFoundError:
            return False
        except OSError as e:
            raise self._error(path, e) from e

    def _refuse_link(self, path: str) -> None:
        """Refuse a link in a directory's place that leads nowhere.

        :raises ConfigurationError: which names it.
        """
        try:
            with self._folder(posixpath.dirname(path)) as folder:
                to = os.readlink(posixpath.basename(path), dir_fd=folder)
        except FileNotFoundError:
            return
        except OSError as e:
            if e.errno == errno.EINVAL:  # no link
                return
            raise self._error(path, e) from e
        raise self._error(path, OSError(
            errno.ELOOP, f'it is a link to {to}, which does not exist'))

    @contextlib.contextmanager
    def _folder(self, path: str) -> Iterator[int]:
        folder = folders.open_folder(path, self._on_link, root=self.path)
        try:
            yield folder
        finally:
            os.close(folder)

    def _on_link(self, part: str, status: os.stat_result, to: str,
                 _is_last: bool) -> None:
        if status.st_uid not in (0, os.geteuid()):
            raise OSError(errno.ELOOP, f'{part} is a link to {to} that user '
                          f'id {status.st_uid} made')
        if not self.is_host and '..' in to.split('/'):
            raise OSError(errno.ELOOP, f'{part} is a link to {to}, which '
                          'could lead out of the root directory')

    def _error(self, path: str, error: OSError
               ) -> exception.ConfigurationError:
        remedy = 'See the reason, and run the command again.'
        if error.errno in (errno.EACCES, errno.EPERM):
            remedy = 'Run the command as root.'
        elif error.errno in (errno.ELOOP, errno.ENOTDIR, errno.EISDIR):
            remedy = 'Move it away, and run the command again.'
        return exception.ConfigurationError(
            self.shown(path), f'it cannot be used: {error.strerror}', remedy)

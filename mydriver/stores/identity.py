# SPDX-License-Identifier: Apache-2.0
"""Whether the place of a store still holds that store.

The mount point of a filesystem that is not mounted is an empty directory, and
a replaced disk may have a volume group of the same name. If either passed for
an empty store, deletions would succeed without deleting anything, and new
volumes would go to the wrong disk. So each store has an id, and the backend's
state directory has a record of the id that was seen first.
"""

import contextlib
import os
import re
import secrets

from mydriver import exception

OPTION = 'mydriver_store_path'

#: Name of the record in the state directory of a backend.
RECORD = 'store'

#: Hidden file with the id, in a directory that is a store.
_MARKER = '.mydriver-store'

_ID = re.compile(r'[A-Za-z0-9-]{8,64}\Z')
_MODE = 0o600


class Record:
    """The id of a backend's store, kept outside the store.

    :param path: of the record's file, or None to keep the id in memory.
    """

    def __init__(self, path: str | None = None) -> None:
        self.path = path
        self._known: str | None = None

    def known(self) -> str | None:
        """Return the id, None when no store has been seen yet.

        :raises IdentityUnknown: when the file cannot be read.
        """
        if self._known is None and self.path is not None:
            self._known = self._read(self.path)
        return self._known

    def _read(self, path: str) -> str | None:
        try:
            fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
        except FileNotFoundError:
            return None
        except OSError as e:
            raise self._unusable(e) from e
        with open(fd, encoding='ascii', errors='replace') as f:
            text = f.read(256).strip()
        if not _ID.match(text):
            raise exception.IdentityUnknown(
                'mydriver_state_path', f'{path} does not contain the id of a '
                f'store', f'If {OPTION} is right, remove {path} and restart '
                'cinder-volume.')
        return text

    def write(self, store_id: str) -> None:
        """Record an id, durably.

        :raises IdentityUnknown: when the file cannot be written.
        """
        if self.path is not None and self.known() != store_id:
            try:
                _replace(self.path, store_id)
            except OSError as e:
                raise self._unusable(e) from e
        self._known = store_id

    def _unusable(self, error: OSError) -> exception.IdentityUnknown:
        return exception.IdentityUnknown(
            'mydriver_state_path', f'{self.path}: {error.strerror}',
            'Make the directory writable for the user of cinder-volume, user '
            f'id {os.geteuid()}.')

    def compare(self, found: str | None, where: str, remedy: str,
                option: str = OPTION) -> None:
        """Check that a place holds the store of this record.

        Any place does while there is no record.

        :param found: the id that was found there, None when there is none.
        :param where: the place, for the text of the error.
        :param remedy: what the operator should check first.
        :param option: that names the place.
        :raises ConfigurationError: when it holds another store, or none.
        :raises IdentityUnknown: when the record cannot be read.
        """
        known = self.known()
        if known is None or found == known:
            return
        problem = ('there is no store now' if found is None else
                   f'there is store {found} now')
        raise exception.ConfigurationError(
            option, f'{where} held store {known}, but {problem}',
            f'{remedy} If you want to use this place from now on, remove '
            f'{self.path or "the record"} and restart cinder-volume.')


def read_marker(folder: int) -> str | None:
    """Return the id in an open directory, None where there is none."""
    try:
        fd = os.open(_MARKER, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK,
                     dir_fd=folder)
    except FileNotFoundError:
        return None
    with open(fd, encoding='ascii', errors='replace') as f:
        text = f.read(256).strip()
    return text if _ID.match(text) else None


def make_marker(folder: int) -> str:
    """Create an id in an open directory, durably, and return it."""
    store_id = secrets.token_hex(16)
    fd = os.open('.', os.O_TMPFILE | os.O_WRONLY, _MODE, dir_fd=folder)
    with open(fd, 'w', encoding='ascii') as f:
        f.write(f'{store_id}\n')
        f.flush()
        os.fsync(fd)
        # See reflink.files.publish() for these arguments of linkat(2).
        os.link(f'/proc/self/fd/{fd}', _MARKER, src_dir_fd=folder,
                dst_dir_fd=folder, follow_symlinks=True)
    os.fsync(folder)
    return store_id


def _replace(path: str, store_id: str) -> None:
    between = f'{path}.new'
    with contextlib.suppress(FileNotFoundError):
        os.unlink(between)
    fd = os.open(between, os.O_CREAT | os.O_EXCL | os.O_WRONLY, _MODE)
    with open(fd, 'w', encoding='ascii') as f:
        f.write(f'{store_id}\n')
        f.flush()
        os.fsync(fd)
    os.rename(between, path)
    folder = os.open(os.path.dirname(path), os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)

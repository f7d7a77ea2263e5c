# SPDX-License-Identifier: Apache-2.0
"""CHAP keys as files of a backend's state.

``chap.key`` is the key of new mappings. Those that are kept have files of
their own, ``chap.key.FINGERPRINT``.
"""

from collections.abc import Iterator
import contextlib
import os
import re
import secrets
import tempfile

from mydriver import exception
from mydriver.target import state

#: Name of the key's file in the backend's directory.
KEY_FILE = 'chap.key'

KEY_BYTES = 32


class KeyFiles:
    """Files; see :class:`mydriver.target.chap.Storage`.

    :param folder: of the backend's state.
    """

    is_shared = False

    def __init__(self, folder: str) -> None:
        self._folder = folder
        self._path = os.path.join(folder, KEY_FILE)

    def current(self) -> bytes | None:
        """See :meth:`mydriver.target.chap.Storage.current`."""
        return _read(self._path) if os.path.exists(self._path) else None

    def create(self) -> bytes:
        """See :meth:`mydriver.target.chap.Storage.create`."""
        return read_or_create(self._path)

    def kept(self) -> list[str]:
        """See :meth:`mydriver.target.chap.Storage.kept`."""
        found = (re.fullmatch(r'chap\.key\.([0-9a-f]{16})', name)
                 for name in os.listdir(self._folder))
        return sorted(match[1] for match in found if match)

    def load(self, fingerprint: str) -> bytes | None:
        """See :meth:`mydriver.target.chap.Storage.load`."""
        path = self.place(fingerprint)
        return _read(path) if os.path.exists(path) else None

    def keep(self, fingerprint: str, key: bytes) -> None:
        """See :meth:`mydriver.target.chap.Storage.keep`."""
        path = self.place(fingerprint)
        if not os.path.exists(path):
            with _explained(path):
                _create(path, key)

    def may_forget(self) -> bool:
        """See :meth:`mydriver.target.chap.Storage.may_forget`."""
        return True

    def forget(self, fingerprint: str) -> None:
        """See :meth:`mydriver.target.chap.Storage.forget`."""
        with contextlib.suppress(OSError):
            os.unlink(self.place(fingerprint))

    def place(self, fingerprint: str) -> str:
        """See :meth:`mydriver.target.chap.Storage.place`."""
        return f'{self._path}.{fingerprint}'


def read_or_create(path: str) -> bytes:
    """Read the key in a file; create it when there is none.

    :raises ConfigurationError: when others can read it, or it is damaged or
        cannot be created.
    """
    if not os.path.exists(path):
        with _explained(path):
            _create(path, secrets.token_bytes(KEY_BYTES))
    return _read(path)


def _read(path: str) -> bytes:
    with _explained(path):
        key, mode = state.read(path)
    if mode & 0o077:
        raise exception.ConfigurationError(
            'mydriver_state_path', f'{path} can be read by others',
            f'Run chmod 600 {path}, and consider the key compromised.')
    if len(key) != KEY_BYTES:
        raise exception.ConfigurationError(
            'mydriver_state_path',
            f'{path} is damaged: {len(key)} bytes, not {KEY_BYTES}',
            f'Restore it from a copy, such as {path}.* beside it.')
    return key


@contextlib.contextmanager
def _explained(path: str) -> Iterator[None]:
    """Raise the system's errors as ours, with the file and the remedy."""
    try:
        yield
    except OSError as e:
        raise exception.ConfigurationError(
            'mydriver_state_path', f'{path}: {e.strerror}',
            'Give it to the user that cinder-volume runs as.') from e


def _create(path: str, key: bytes) -> None:
    """Create a key's file atomically; an existing one is kept."""
    # Exclusively, and with mode 0600.
    descriptor, temporary = tempfile.mkstemp(
        prefix='.chap-', dir=os.path.dirname(path))
    with open(descriptor, 'wb') as f:
        f.write(key)
        f.flush()
        os.fsync(f.fileno())
    try:
        os.link(temporary, path)  # fails when there is a key
    except FileExistsError:
        pass
    finally:
        os.unlink(temporary)

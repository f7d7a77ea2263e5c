# SPDX-License-Identifier: Apache-2.0
"""CHAP credentials, derived from one key and never stored.

The secret of an initiator at a target is HMAC-SHA256(backend key, both
names), so that neither the journal nor a copy of it reveals a secret.
"""

import base64
from collections.abc import Collection, Iterator
import contextlib
import hashlib
import hmac
import os
import re
import secrets

from mydriver import exception, model
from mydriver.target import state

#: Name of the key's file in the backend's directory.
KEY_FILE = 'chap.key'

_KEY_BYTES = 32

#: 16 characters of base64 are 96 bits: the minimum of RFC 7143, 9.2.1, and
#: within the maximum of all initiators.
_SECRET_CHARACTERS = 16


class ChapKey:
    """The key of one backend.

    :param key: 32 random bytes.
    """

    def __init__(self, key: bytes) -> None:
        self._key = key
        #: Identifies the key without revealing it.
        self.fingerprint = hmac.digest(
            key, b'fingerprint', hashlib.sha256)[:8].hex()

    def __repr__(self) -> str:
        return 'ChapKey(...)'

    @classmethod
    def load(cls, path: str) -> 'ChapKey':
        """Read the key; create it when there is none.

        :param path: the key's file; mode 0600, owned by the service's user.
        :raises ConfigurationError: when others can read it, or it is damaged
            or cannot be created.
        """
        with _explained(path):
            if not os.path.exists(path):
                _create(path)
            key, mode = state.read(path)
        if mode & 0o077:
            raise exception.ConfigurationError(
                'mydriver_state_path', f'{path} can be read by others',
                f'Run chmod 600 {path}, and consider the key compromised.')
        if len(key) != _KEY_BYTES:
            raise exception.ConfigurationError(
                'mydriver_state_path',
                f'{path} is damaged: {len(key)} bytes, not {_KEY_BYTES}',
                f'Restore it from a copy, such as {path}.* beside it.')
        return cls(key)

    def credentials(self, initiator: model.Iqn, target: model.Iqn,
                    mutual: bool) -> model.ChapCredentials:
        """Return the credentials of an initiator at a target.

        :param mutual: include those of the target, for mutual CHAP.
        """
        return model.ChapCredentials(
            username=str(initiator),
            password=self._secret('initiator', initiator, target),
            mutual_username=str(target) if mutual else None,
            mutual_password=(self._secret('target', initiator, target)
                             if mutual else None))

    def _secret(self, side: str, initiator: model.Iqn,
                target: model.Iqn) -> str:
        message = '\0'.join((side, str(initiator), str(target))).encode()
        digest = hmac.digest(self._key, message, hashlib.sha256)
        return base64.urlsafe_b64encode(digest).decode()[:_SECRET_CHARACTERS]


class KeyRing:
    """The key of a backend, and the keys that it replaced.

    A session logs in again after each network fault, with the secret that its
    initiator was given. So the key of that secret is kept in a file of its
    own, ``chap.key.FINGERPRINT``, until no session depends on it.

    :param current: the key of new mappings.
    :param folder: of the other keys; None when there are none.
    :param is_new: the current key has just been created, so that nothing in
        the kernel derives from it.
    """

    def __init__(self, current: ChapKey, folder: str | None = None,
                 is_new: bool = False) -> None:
        self.current = current
        self.is_new = is_new
        self._folder = folder

    def __repr__(self) -> str:
        return f'KeyRing({self.current.fingerprint})'

    @classmethod
    def load(cls, folder: str) -> 'KeyRing':
        """Read the keys; create the current one when there is none.

        :param folder: of the backend's state.
        :raises ConfigurationError: as :meth:`ChapKey.load`.
        """
        path = os.path.join(folder, KEY_FILE)
        is_new = not os.path.exists(path)
        return cls(ChapKey.load(path), folder, is_new)

    @classmethod
    def load_kept(cls, folder: str) -> 'KeyRing | None':
        """Read the other keys when the current one cannot be read.

        They serve existing sessions; new secrets cannot be derived.

        :param folder: of the backend's state.
        :returns: None when there is no other key.
        """
        for fingerprint in cls._kept_in(folder):
            with contextlib.suppress(exception.ConfigurationError):
                key = ChapKey.load(os.path.join(
                    folder, f'{KEY_FILE}.{fingerprint}'))
                return cls(key, folder, is_new=True)
        return None

    def get(self, fingerprint: str) -> ChapKey | None:
        """Return a key by its fingerprint, None when it is missing.

        :raises ConfigurationError: when it cannot be read.
        """
        if fingerprint == self.current.fingerprint:
            return self.current
        path = self.path(fingerprint)
        if not fingerprint or path is None or not os.path.exists(path):
            return None
        key = ChapKey.load(path)
        return key if key.fingerprint == fingerprint else None

    def path(self, fingerprint: str) -> str | None:
        """Return the file of a key that has been replaced."""
        return self._folder and os.path.join(
            self._folder, f'{KEY_FILE}.{fingerprint}')

    def source_of(self, told: model.ChapCredentials, initiator: model.Iqn,
                  target: model.Iqn) -> str:
        """Return the fingerprint of the key that credentials derive from.

        :param told: what the initiator was given.
        :returns: the empty string when it is none of the known keys.
        """
        for fingerprint in (self.current.fingerprint, *self._kept()):
            key = self.get(fingerprint)
            mine = key and key.credentials(initiator, target, False)
            if mine and hmac.compare_digest(mine.password.encode(),
                                            told.password.encode()):
                return fingerprint
        return ''

    @property
    def is_only(self) -> bool:
        """Whether no other key than the current one is known."""
        return set(self._kept()) <= {self.current.fingerprint}

    def keep(self) -> None:
        """Copy the current key, in case it is replaced.

        :raises ConfigurationError: when the file cannot be created.
        """
        path = self.path(self.current.fingerprint)
        if path is not None and not os.path.exists(path):
            with _explained(path):
                _create(path, self.current._key)

    def forget(self, needed: Collection[str]) -> None:
        """Remove replaced keys that no session depends on.

        :param needed: fingerprints of the keys that sessions depend on.
        """
        for fingerprint in self._kept():
            if fingerprint not in (self.current.fingerprint, *needed):
                with contextlib.suppress(OSError):
                    os.unlink(os.path.join(self._folder or '',
                                           f'{KEY_FILE}.{fingerprint}'))

    def _kept(self) -> list[str]:
        return self._kept_in(self._folder) if self._folder else []

    @staticmethod
    def _kept_in(folder: str) -> list[str]:
        names = os.listdir(folder)
        found = (re.fullmatch(r'chap\.key\.([0-9a-f]{16})', n) for n in names)
        return sorted(match[1] for match in found if match)


@contextlib.contextmanager
def _explained(path: str) -> Iterator[None]:
    """Raise the system's errors as ours, with the file and the remedy."""
    try:
        yield
    except OSError as e:
        raise exception.ConfigurationError(
            'mydriver_state_path', f'{path}: {e.strerror}',
            'Give it to the user that cinder-volume runs as.') from e


def _create(path: str, key: bytes | None = None) -> None:
    """Create a key's file atomically; an existing one is kept."""
    temporary = f'{path}.{os.getpid()}'
    with open(os.open(temporary, os.O_CREAT | os.O_WRONLY | os.O_TRUNC,
                      0o600), 'wb') as f:
        f.write(key or secrets.token_bytes(_KEY_BYTES))
        f.flush()
        os.fsync(f.fileno())
    try:
        os.link(temporary, path)  # fails when there is a key
    except FileExistsError:
        pass
    finally:
        os.unlink(temporary)

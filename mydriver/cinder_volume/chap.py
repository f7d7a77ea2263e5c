# SPDX-License-Identifier: Apache-2.0
"""CHAP credentials, derived from one key and never stored.

The secret of an initiator at a target is HMAC-SHA256(backend key, both
names), so that a database, a journal or a copy of them gives nothing away.
"""

import base64
import hashlib
import hmac
import os
import secrets

from mydriver import exception, model
from mydriver.cinder_volume import state

_KEY_BYTES = 32

#: 16 characters of base64 are 96 bits: what RFC 7143, 9.2.1 asks for at the
#: least, and not more than initiators take at the most.
_SECRET_CHARACTERS = 16


class ChapKey:
    """The key of one backend.

    :param key: 32 random bytes.
    """

    def __init__(self, key: bytes) -> None:
        self._key = key

    def __repr__(self) -> str:
        return 'ChapKey(...)'

    @classmethod
    def load(cls, path: str) -> 'ChapKey':
        """Read the key; make it where there is none.

        :param path: the key's file; 0600, of the service's user.
        :raises ConfigurationError: when it is readable by others, damaged or
            cannot be made.
        """
        try:
            if not os.path.exists(path):
                _create(path)
            key, mode = state.read(path)
        except OSError as e:
            raise exception.ConfigurationError(
                'mydriver_state_path', f'{path}: {e.strerror}',
                'Give it to the user that cinder-volume runs as.') from e
        if mode & 0o077:
            raise exception.ConfigurationError(
                'mydriver_state_path', f'{path} can be read by others',
                f'Run chmod 600 {path}, and consider the key known.')
        if len(key) != _KEY_BYTES:
            raise exception.ConfigurationError(
                'mydriver_state_path',
                f'{path} is damaged: {len(key)} bytes, not {_KEY_BYTES}',
                'Restore it from a copy. A new key changes the secrets of '
                'all connected hosts: their sessions end at the next fault.')
        return cls(key)

    def credentials(self, initiator: model.Iqn, target: model.Iqn,
                    mutual: bool) -> model.ChapCredentials:
        """Return the credentials of an initiator at a target.

        :param mutual: with the target's own, for mutual CHAP.
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


def _create(path: str) -> None:
    """Make the key's file whole or not at all."""
    temporary = f'{path}.{os.getpid()}'
    with open(os.open(temporary, os.O_CREAT | os.O_WRONLY | os.O_TRUNC,
                      0o600), 'wb') as f:
        f.write(secrets.token_bytes(_KEY_BYTES))
        f.flush()
        os.fsync(f.fileno())
    try:
        os.link(temporary, path)  # an existing key is never replaced
    except FileExistsError:
        pass
    finally:
        os.unlink(temporary)

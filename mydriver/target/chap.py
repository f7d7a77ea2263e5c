# SPDX-License-Identifier: Apache-2.0
"""CHAP credentials, derived from one key and never stored.

The secret of an initiator at a target is HMAC-SHA256(backend key, both
names), so that neither the journal nor a copy of it reveals a secret.
"""

import base64
from collections.abc import Collection
import contextlib
import hashlib
import hmac
import time
from typing import Protocol

from oslo_log import log as logging

from mydriver import exception, model
from mydriver.target import key_files

LOG = logging.getLogger(__name__)

KEY_FILE = key_files.KEY_FILE

#: How often a key that other hosts may replace is read again, in seconds.
REFRESH_S = 60.0

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
        """Read the key in a file; create it when there is none.

        :param path: the key's file; mode 0600, owned by the service's user.
        :raises ConfigurationError: when others can read it, or it is damaged
            or cannot be created.
        """
        return cls(key_files.read_or_create(path))

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


class Storage(Protocol):
    """Where the keys of a backend are.

    :raises ConfigurationError: by any method, when a key is damaged or cannot
        be used.
    :raises CephError: by any method, when the keys are in Ceph, which does not
        answer.
    """

    #: Whether other hosts may change what is there.
    is_shared: bool

    def current(self) -> bytes | None:
        """Return the key of new mappings; None when there is none."""

    def create(self) -> bytes:
        """Create the key of new mappings, unless there is one by now.

        :returns: the one that is there; the same for all who ask.
        """

    def kept(self) -> list[str]:
        """Return the fingerprints under which keys are kept."""

    def load(self, fingerprint: str) -> bytes | None:
        """Return a key that is kept; None when there is none."""

    def keep(self, fingerprint: str, key: bytes) -> None:
        """Keep a key under its fingerprint; an existing one stays."""

    def may_forget(self) -> bool:
        """Tell whether keys that were replaced can be removed by now."""

    def forget(self, fingerprint: str) -> None:
        """Remove a key that is kept; a failure is of no consequence."""

    def place(self, fingerprint: str) -> str:
        """Return where a key is kept, for texts."""


class KeyRing:
    """The key of a backend, and the keys that it replaced.

    A session logs in again after each network fault, with the secret that its
    initiator was given. So the key of that secret is kept under its
    fingerprint until no session depends on it.

    :param current: the key of new mappings.
    :param storage: of the other keys; None when there are none.
    :param is_new: the current key has just been created, so that nothing in
        the kernel derives from it.
    """

    def __init__(self, current: ChapKey, storage: Storage | None = None,
                 is_new: bool = False) -> None:
        self._current = current
        self.is_new = is_new
        self._storage = storage
        self._read_at = time.monotonic()

    def __repr__(self) -> str:
        return f'KeyRing({self._current.fingerprint})'

    @classmethod
    def load(cls, folder: str) -> 'KeyRing':
        """Read the keys in files; create the current one if there is none.

        :param folder: of the backend's state.
        :raises ConfigurationError: as :meth:`ChapKey.load`.
        """
        return cls.load_from(key_files.KeyFiles(folder))

    @classmethod
    def load_from(cls, storage: Storage) -> 'KeyRing':
        """Read the keys; create the current one when there is none.

        :raises ConfigurationError: when they cannot be used.
        :raises CephError: when they are in Ceph, which does not answer.
        """
        key = storage.current()
        is_new = key is None
        return cls(ChapKey(storage.create() if key is None else key), storage,
                   is_new)

    @classmethod
    def load_kept(cls, folder: str) -> 'KeyRing | None':
        """Read the other keys when the current one cannot be read.

        :param folder: of the backend's state.
        :returns: as :meth:`load_kept_from`.
        """
        return cls.load_kept_from(key_files.KeyFiles(folder))

    @classmethod
    def load_kept_from(cls, storage: Storage) -> 'KeyRing | None':
        """Read only keys that are kept, and create none.

        They serve existing sessions; new secrets cannot be derived.

        :returns: None when there is none that can be read.
        """
        for fingerprint in storage.kept():
            with contextlib.suppress(exception.ConfigurationError):
                key = storage.load(fingerprint)
                if key is not None:
                    return cls(ChapKey(key), storage, is_new=True)
        return None

    @property
    def current(self) -> ChapKey:
        """The key of new mappings; another host may have replaced it."""
        now = time.monotonic()
        if (self._storage is not None and self._storage.is_shared
                and now > self._read_at + REFRESH_S):
            self._read_at = now
            try:
                key = self._storage.current()
            except exception.MyDriverError as e:
                LOG.warning('The CHAP key in use cannot be compared with the '
                            'present one: %s', e)
                key = None
            if key is not None:
                self._current = ChapKey(key)
        return self._current

    def get(self, fingerprint: str) -> ChapKey | None:
        """Return a key by its fingerprint, None when it is missing.

        :raises ConfigurationError: when it cannot be read.
        :raises CephError: when it is in Ceph, which does not answer.
        """
        if fingerprint == self._current.fingerprint:
            return self._current
        if not fingerprint or self._storage is None:
            return None
        found = self._storage.load(fingerprint)
        key = found and ChapKey(found)
        return key if key and key.fingerprint == fingerprint else None

    def path(self, fingerprint: str) -> str | None:
        """Return where a key that has been replaced is kept."""
        return (None if self._storage is None
                else self._storage.place(fingerprint))

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

        :raises ConfigurationError: when it cannot be kept.
        """
        if self._storage is not None:
            self._storage.keep(self.current.fingerprint, self.current._key)

    def forget(self, needed: Collection[str]) -> None:
        """Remove replaced keys that no session depends on.

        :param needed: fingerprints of the keys that sessions depend on.
        """
        if self._storage is None or not self._storage.may_forget():
            return
        for fingerprint in self._kept():
            if fingerprint not in (self.current.fingerprint, *needed):
                self._storage.forget(fingerprint)

    def _kept(self) -> list[str]:
        return self._storage.kept() if self._storage else []

# SPDX-License-Identifier: Apache-2.0
"""CHAP keys in Ceph, for a backend that several hosts serve.

One object of the backend's namespace has them all: ``current`` is the key of
new mappings, and ``kept/FINGERPRINT`` one that sessions may depend on. Who may
read the pool may read them. Remove ``current`` and restart one cinder-volume
to replace the key; the others notice within a minute.
"""

from collections.abc import Callable
import contextlib
import re
import secrets
import time
import zlib

from mydriver import exception
from mydriver.ceph import omap
from mydriver.target import key_files

#: Name of the object.
OBJECT = 'mydriver.chap'

CURRENT = 'current'
KEPT = 'kept/'

#: A service may still use a key for a while that another one has replaced.
#: See :data:`mydriver.target.chap.REFRESH_S`.
_STILL_IN_USE_S = 3600


class KeyObjects:
    """An object in Ceph; see :class:`mydriver.target.chap.Storage`.

    :param objects: of the backend's namespace.
    :param clock: returns seconds since the epoch.
    """

    is_shared = True

    def __init__(self, objects: omap.Objects,
                 clock: Callable[[], float] = time.time) -> None:
        self._objects = objects
        self._clock = clock

    def current(self) -> bytes | None:
        """See :meth:`mydriver.target.chap.Storage.current`."""
        return self._load(CURRENT)

    def create(self) -> bytes:
        """See :meth:`mydriver.target.chap.Storage.create`."""
        while True:
            found = self._load(CURRENT)
            if found is not None:
                return found
            key = secrets.token_bytes(key_files.KEY_BYTES)
            if self._add(CURRENT, key):
                return key

    def kept(self) -> list[str]:
        """See :meth:`mydriver.target.chap.Storage.kept`."""
        found = self._objects.read(OBJECT, ranges=[omap.Range(KEPT)])
        return sorted(match[1] for key in (found.values if found else ())
                      if (match := re.fullmatch(f'{KEPT}([0-9a-f]{{16}})',
                                                key)))

    def load(self, fingerprint: str) -> bytes | None:
        """See :meth:`mydriver.target.chap.Storage.load`."""
        return self._load(KEPT + fingerprint)

    def keep(self, fingerprint: str, key: bytes) -> None:
        """See :meth:`mydriver.target.chap.Storage.keep`."""
        self._add(KEPT + fingerprint, key)

    def may_forget(self) -> bool:
        """See :meth:`mydriver.target.chap.Storage.may_forget`."""
        found = self._read(CURRENT)
        return found is not None and (
            found[1] < self._clock() - _STILL_IN_USE_S)

    def forget(self, fingerprint: str) -> None:
        """See :meth:`mydriver.target.chap.Storage.forget`."""
        with contextlib.suppress(exception.CephError):
            self._objects.write(OBJECT, {}, [KEPT + fingerprint])

    def place(self, fingerprint: str) -> str:
        """See :meth:`mydriver.target.chap.Storage.place`."""
        return f'key {KEPT}{fingerprint} of {self._objects.where}/{OBJECT}'

    def _add(self, key: str, secret: bytes) -> bool:
        """Set a key that does not exist; tell whether it did not."""
        value = {key: _text(key, secret, int(self._clock()))}
        while True:
            outcome = self._objects.write(OBJECT, value, where={key: ''})
            if outcome is not omap.Outcome.MISSING:
                return outcome is omap.Outcome.DONE
            self._objects.write(OBJECT, {}, new=True)

    def _load(self, key: str) -> bytes | None:
        found = self._read(key)
        return found and found[0]

    def _read(self, key: str) -> tuple[bytes, int] | None:
        """Return a key, and when it was made."""
        found = self._objects.read(OBJECT, [key])
        text = found.values.get(key) if found else None
        if text is None:
            return None
        match = re.fullmatch('([0-9a-f]{64}) ([0-9]{1,12}) [0-9a-f]{8}', text)
        if match is None or text != _text(
                key, bytes.fromhex(match[1]), int(match[2])):
            # The text itself is not shown: most of it may be the key.
            raise exception.ConfigurationError(
                'mydriver_rbd_pool', f'the CHAP key {key} in '
                f'{self._objects.where}/{OBJECT} is damaged',
                f'Restore it from a copy, such as {KEPT}* beside it.')
        return bytes.fromhex(match[1]), int(match[2])


def _text(key: str, secret: bytes, made_at: int) -> str:
    """Return the value for a key, with a checksum at the end."""
    text = f'{secret.hex()} {made_at} '
    return f'{text}{zlib.crc32(f"{key} {text}".encode()):08x}'

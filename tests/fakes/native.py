# SPDX-License-Identifier: Apache-2.0
"""A store with native access: files, and notes beside them.

It behaves like a Ceph pool: a volume has one owner at a time. A device that is
brought up takes the lock from whoever uses the volume natively, which is what
must never happen, so it is an error here.
"""

from collections.abc import Mapping
import contextlib
import json
import os
from pathlib import Path
import secrets
import shutil
from typing import Any

from mydriver import exception, model
from mydriver.stores import base, names, native
from mydriver.stores.reflink import store as reflink
from tests.fakes import filesystem

FSID = '457eb676-33da-42ec-9a8c-9293d545c337'


class NativeStore(reflink.ReflinkStore):
    """Files in a directory, which hosts can use without a target.

    The notes are in a directory beside the store's, so that several objects,
    like several processes, share them.
    """

    traits = base.Traits(
        backstore='fileio', consistent_groups=False, thin=True,
        shares_files=True, copies_hold_writes=False,
        fixed_block_bytes=base.BLOCK_BYTES, needs_native_thread=True,
        native=True)

    def __init__(self, path: str, **kwargs: Any) -> None:
        super().__init__(path, **{'clone': filesystem.copy, **kwargs})
        self._notes = Path(f'{path}.notes')

    def native_location(self, name: str) -> native.NativeLocation:
        """Return where an image would be."""
        self._require(name)
        return native.NativeLocation(
            'volumes', name, 'cinder', (model.Portal('192.0.2.50', 6789),),
            FSID)

    def native_users(self, name: str) -> tuple[str, ...]:
        """Return who is noted."""
        return tuple(self.native_notes(name))

    def native_notes(self, name: str) -> Mapping[str, str]:
        """Return the versions of notes."""
        self._require(name)
        return dict(sorted(self._read(name).items()))

    def add_native_user(self, name: str, user: str) -> str:
        """Note a user."""
        self._require(name)
        version = secrets.token_hex(8)
        self._write(name, {**self._read(name), user: version})
        return version

    def drop_native_user(self, name: str, user: str,
                         version: str | None = None) -> bool:
        """Remove a note."""
        names.check_name(name)
        found = self._read(name)
        if user in found and version not in (None, found[user]):
            return False
        found.pop(user, None)
        self._write(name, found)
        return True

    def bring_up(self, name: str) -> model.BackingDevice:
        """Return the device, which nobody may use natively."""
        device = super().bring_up(name)
        if self._read(name):
            raise AssertionError(f'{name} lost its lock: {self._read(name)}')
        return device

    def rename(self, old: str, new: str) -> None:
        """Rename the notes as well."""
        super().rename(old, new)
        with contextlib.suppress(FileNotFoundError):
            os.rename(self._notes / old, self._notes / new)

    def delete(self, name: str) -> None:
        """Delete the notes as well."""
        super().delete(name)
        self._write(name, {})

    def forget(self) -> None:
        """Lose all notes."""
        shutil.rmtree(self._notes, ignore_errors=True)

    def _require(self, name: str) -> None:
        if not self.exists(names.check_name(name)):
            raise exception.BackingNotFound(name, self.location)

    def _read(self, name: str) -> dict[str, str]:
        try:
            found: dict[str, str] = json.loads(
                (self._notes / name).read_text())
        except FileNotFoundError:
            return {}
        return found

    def _write(self, name: str, users: Mapping[str, str]) -> None:
        self._notes.mkdir(exist_ok=True)
        path = self._notes / name
        if not users:
            path.unlink(missing_ok=True)
            return
        new = path.with_suffix('.new')
        new.write_text(json.dumps(users))
        new.rename(path)

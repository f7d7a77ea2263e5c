# SPDX-License-Identifier: Apache-2.0
"""Passwords of the cloud: random, kept in a file that only root can read."""

import dataclasses
import json
import os
from pathlib import Path
import secrets
from typing import Self


@dataclasses.dataclass(frozen=True, slots=True)
class Credentials:
    """A password for each purpose; hex digits, which need no quoting."""

    admin: str = dataclasses.field(repr=False)
    service: str = dataclasses.field(repr=False)
    database: str = dataclasses.field(repr=False)
    messaging: str = dataclasses.field(repr=False)
    erlang_cookie: str = dataclasses.field(repr=False)
    #: Key of all encrypted volumes: the configuration's fixed key.
    volume_key: str = dataclasses.field(repr=False)

    @classmethod
    def generate(cls) -> Self:
        """Return new ones."""
        return cls(*(secrets.token_hex(16)
                     for _ in dataclasses.fields(cls)))

    @classmethod
    def load(cls, path: Path) -> Self:
        """Read them from a file."""
        return cls(**json.loads(path.read_text()))

    def save(self, path: Path) -> None:
        """Write them to a file that only its owner can read."""
        write_private(path, json.dumps(dataclasses.asdict(self)))


def write_private(path: Path, text: str) -> None:
    """Write a file with mode 0600, independent of the umask."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.unlink(missing_ok=True)
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(fd, 'w') as f:
        f.write(text)

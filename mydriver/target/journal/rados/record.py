# SPDX-License-Identifier: Apache-2.0
"""The form of values: JSON, with exactly the names that they need.

Each begins with a checksum (``sum``) of its key and of what follows.
"""

from collections.abc import Callable, Mapping
import dataclasses
import json
from typing import Any, ClassVar, Self
import zlib

from mydriver import exception
from mydriver.target.journal import values

#: Tells whether a value of JSON is valid.
Check = Callable[[Any], bool]

_ENCODER = json.JSONEncoder(sort_keys=True, separators=(',', ':'))

#: Length of the checksum at the beginning of a value.
_SUM = len('{"sum":"01234567"')


@dataclasses.dataclass(frozen=True, slots=True)
class Record:
    """A value; subclasses name what is in it.

    :cvar checks: tells for each name whether a value is valid.
    """

    checks: ClassVar[Mapping[str, Check]] = {}

    @classmethod
    def parse(cls, key: str, text: str) -> Self:
        """Return the record that a value stands for.

        :param key: of the value.
        :raises Damaged: when it is not exactly one.
        """
        shown = f'{text[:200]!r} is not a valid {cls.__name__.lower()}'
        content = '{' + text[_SUM:].removeprefix(',')
        if text != _signed(key, content):
            raise values.Damaged(shown)
        try:
            found = json.loads(content)
            if not isinstance(found, dict) or found.keys() != (
                    cls.checks.keys()):
                raise values.Damaged(shown)
            for name, check in cls.checks.items():
                if not check(found[name]):
                    raise values.Damaged(f'{shown}: {name}')
        except (ValueError, TypeError, exception.MyDriverError) as e:
            raise values.Damaged(shown) from e
        return cls(**found)

    def text(self, key: str) -> str:
        """Return the value to be stored under a key."""
        return _signed(key, _ENCODER.encode(
            {name: getattr(self, name) for name in self.checks}))


def _signed(key: str, content: str) -> str:
    """Return a value with its checksum, which comes first."""
    checksum = zlib.crc32(f'{key} {content}'.encode())
    return (f'{{"sum":"{checksum:08x}"' + (',' if content != '{}' else '')
            + content[1:])

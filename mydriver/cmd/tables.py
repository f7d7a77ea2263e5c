# SPDX-License-Identifier: Apache-2.0
"""Values in tables: short for people, whole for programs, never harmful.

Names of initiators and labels of volumes come from other hosts. Characters
that a terminal would obey, or that change the direction of text, are escaped
in every format.
"""

from collections.abc import Mapping, Sequence
import itertools
from typing import Any
import unicodedata

from mydriver import exception

#: How many characters of a volume's id a narrow table shows: its first two
#: groups, which tell any two volumes of a host apart in practice.
ID_MAX = 13
#: How many characters of a name of iSCSI a narrow table shows.
NAME_MAX = 22
_TARGET_MAX = 12
#: Columns of names that differ at the end.
_AT_THE_END = frozenset(('from', 'initiator', 'serves', 'target'))
_UNITS = 'BKMGTPE'


def safe(text: str) -> str:
    """Return a text of unknown origin in printable characters."""
    return ''.join(c if c.isprintable() else _escaped(c) for c in text)


def _escaped(character: str) -> str:
    return character.encode('unicode_escape', 'surrogatepass').decode()


def safe_line(text: str) -> str:
    """Return a text of unknown origin in a line of printable characters."""
    return safe(text.replace('\n', ' '))


def shown(name: str) -> str:
    """Return a name of unknown origin as an error may show it."""
    return exception.shown(safe(name))


def width(text: str) -> int:
    """Return how many columns of a terminal a printable text takes."""
    return sum(map(_width, text))


def _width(character: str) -> int:
    if unicodedata.combining(character):
        return 0
    return 2 if unicodedata.east_asian_width(character) in 'FW' else 1


def beginning(text: str, columns: int) -> str:
    """Return a text without the end that does not fit."""
    taken = itertools.accumulate(map(_width, text))
    return text[:sum(end <= columns for end in taken)]


def ending(text: str, columns: int) -> str:
    """Return a text with dots for the beginning that does not fit."""
    if width(text) <= columns:
        return text
    room = max(columns - 2, 0)
    return f'..{beginning(text[::-1], room)[::-1]}'


def give_way(widths: dict[str, int], narrowest: Mapping[str, int], room: int
             ) -> None:
    """Make columns narrower, one after the other, until all fit.

    :param widths: of all columns; changed.
    :param narrowest: of the columns that give way, the first one first.
    :param room: what the sum should be; it is more if they cannot give way.
    """
    over = sum(widths.values()) - room
    for name, least in narrowest.items():
        less = max(min(over, widths[name] - least), 0)
        widths[name] -= less
        over -= less


def fit(names: Sequence[str], rows: Sequence[Sequence[Any]],
        narrowest: Mapping[str, int], columns: int) -> list[Sequence[Any]]:
    """Return the rows of a table in as many columns as a terminal has.

    If shorter values are not enough, they are left as they are, and cliff
    continues them in more lines.

    :param names: of all columns.
    :param narrowest: see :func:`give_way`.
    """
    widths = {name: max(map(width, (name, *(
        line for row in rows for line in str(row[n]).split('\n')))))
        for n, name in enumerate(names)}
    room = columns - 3 * len(names) - 1  # spaces and rules
    give_way(widths, narrowest, room)
    if sum(widths.values()) > room:
        return list(rows)
    return [tuple(cut(name, cell, widths[name]) if name in narrowest
                  else cell for name, cell in zip(names, row, strict=True))
            for row in rows]


def cut(name: str, text: str, columns: int) -> str:
    """Return what tells the lines of a text from others in its column.

    :param name: of the column.
    """
    shorter = ending if name.lower() in _AT_THE_END else beginning
    return '\n'.join(shorter(line, columns) for line in text.split('\n'))


def short_id(volume_id: str) -> str:
    """Return the beginning of a volume's id."""
    return safe(volume_id)[:ID_MAX]


def short_name(name: str, most: int = NAME_MAX) -> str:
    """Return the part of an iSCSI name that tells it from others.

    That is what follows the naming authority's domain, or its end.
    """
    found = safe(name.partition(':')[2] or name)
    return found if len(found) <= most else f'..{found[2 - most:]}'


def short_target(iqn: str, backend: str) -> str:
    """Return the backend and the number in the name of a pool's target."""
    name = iqn.rpartition(':')[2]
    at = name.rfind(f'-{backend.lower()}-')
    return short_name(name[at + 1:] if at >= 0
                      else name.removeprefix('mydriver-'), _TARGET_MAX)


def size(count: float | None) -> str:
    """Return a number of bytes with a binary unit, such as ``1.5G``."""
    if count is None:
        return ''
    for unit in _UNITS:
        if abs(count) < 999.5 or unit == _UNITS[-1]:
            break
        count /= 1024
    digits = 0 if unit == 'B' or count >= 99.95 else 1
    return f'{count:.{digits}f}{unit}'


def blank(values: Sequence[Any]) -> tuple[Any, ...]:
    """Return the values of a row, empty where there is none."""
    return tuple('' if v is None else v for v in values)

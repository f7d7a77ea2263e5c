# SPDX-License-Identifier: Apache-2.0
"""What this host does with block devices: stacks, mounts and swap space.

Plain functions over sysfs and procfs, for the verbs and, without privileges,
for :mod:`mydriver.initiator.usage`. Mounts of other mount namespaces are not
visible here.
"""

from collections.abc import Callable, Iterable
import dataclasses
import os
from pathlib import Path
import re

#: Where procfs is mounted.
PROC = Path('/proc')

# Blanks and the like are written as \040 (fs/seq_file.c, mangle_path).
_ESCAPED = re.compile(r'\\([0-7]{3})')


@dataclasses.dataclass(frozen=True, slots=True)
class Use:
    """A mount or a swap space.

    :param number: ``MAJOR:MINOR`` that a mount shows. btrfs has a number of
        its own, so the device's name counts as well. Empty for swap space.
    :param device: the kernel's name of the device; empty if it is not one.
    :param source: what is swapped to, for messages.
    :param mount_point: where it is mounted, None for swap space.
    """

    number: str
    device: str
    source: str
    mount_point: str | None


def stack(names: Iterable[str],
          above: Callable[[str], Iterable[str]]) -> list[str]:
    """Return block devices and all that stand on them, each once.

    :param names: the devices at the bottom.
    :param above: returns the partitions and holders of a device.
    """
    todo, found = list(names), dict[str, None]()
    while todo:
        name = todo.pop()
        if name not in found:
            found[name] = None
            todo += above(name)
    return list(found)


def uses(proc: Path) -> list[Use]:
    """Return the mounts and swap spaces of this host (proc(5)).

    :param proc: where procfs is mounted.
    :raises OSError: if they cannot be read.
    """
    found = []
    for line in _lines(proc / 'self/mountinfo'):
        fields = line.split(' ')
        source = fields[fields.index('-') + 2]
        found.append(Use(fields[2], _device(source), _plain(source),
                         _plain(fields[4])))
    for line in _lines(proc / 'swaps')[1:]:
        path = line.split(' ')[0]
        found.append(Use('', _device(path), _plain(path), None))
    return found


def _lines(file: Path) -> list[str]:
    """Return the lines of a file; none if the kernel has no such file."""
    try:
        return file.read_text(errors='surrogateescape').splitlines()
    except FileNotFoundError:
        return []


def _plain(text: str) -> str:
    return _ESCAPED.sub(lambda m: chr(int(m[1], 8)), text)


def _device(path: str) -> str:
    """Return the kernel's name of a device node, through symbolic links."""
    plain = _plain(path)
    if not plain.startswith('/'):
        return ''
    real = os.path.realpath(plain)
    return os.path.basename(real) if real.startswith('/dev/') else ''

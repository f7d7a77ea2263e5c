# SPDX-License-Identifier: Apache-2.0
"""What an operator does in an editor."""

import configparser
import re

from lab.cloud.config import ini

#: What to write instead of an example's address of the storage host.
_EXAMPLE_ADDRESS = '192.0.2.11'


def with_sample(config: str, sample: str, address: str) -> str:
    """Return a service's configuration with what the sample has.

    :param config: text of the configuration file.
    :param sample: text of what ``mydriver setup`` has written beside it.
    :param address: of the storage host.
    """
    return ini.render(ini.merge(_parse(config), _parse(
        sample.replace(_EXAMPLE_ADDRESS, address))))


def with_filter(text: str, disk: str) -> str:
    """Return lvm.conf with a filter that lets LVM see one disk.

    :raises ValueError: when it has no section ``devices``.
    """
    changed, count = re.subn(
        r'(?m)^devices \{$', 'devices {\n\tglobal_filter = '
        f'[ "a|^{disk}$|", "r|.*|" ]', text)
    if count != 1:
        raise ValueError(f'lvm.conf has {count} sections "devices"')
    return changed


def _parse(text: str) -> ini.Sections:
    """Return the sections of a configuration file of OpenStack."""
    parser = configparser.RawConfigParser(
        strict=False, default_section='', delimiters=('=',),
        comment_prefixes=('#',))
    parser.optionxform = str  # type: ignore[assignment, method-assign]
    parser.read_string(text)
    return {name: dict(parser[name]) for name in parser.sections()}


def left_to_do(output: str) -> list[str]:
    """Return the items of the list at the end of what setup printed."""
    _, _, items = output.partition('\nTo do:\n')
    return [line.removeprefix('* ').removesuffix('.')
            for line in items.splitlines() if line.startswith('* ')]


#: Items of that list that README has, too.
_IN_README = re.compile(
    r'Copy what you need of \S+ to \S+|Restart nova-compute|'
    r'Restart cinder-volume, and check it with \S+ status')

#: The item that an editor is needed for.
FILTER = 'Keep LVM away from the disks of guests'


def commands_in(item: str) -> str:
    """Return the commands of such an item; empty if README has them.

    :raises ValueError: when it has none, and is none that is known.
    """
    if _IN_README.fullmatch(item) or item.startswith(FILTER):
        return ''
    found = re.search(r'(?:^|: )((?:chown|chmod|systemctl) .*)$', item)
    if not found:
        raise ValueError(f'setup lists "{item}", which has no command')
    return found[1]

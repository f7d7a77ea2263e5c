# SPDX-License-Identifier: Apache-2.0
"""Enabled backends that seem to mean this driver, but name another class.

Cinder does not start such a backend, and none of our commands takes it for one
of ours.
"""

from collections.abc import Iterator
import dataclasses
import difflib

from mydriver import configuration
from mydriver.backend import opts
from mydriver.cmd import backends, tables

OPTION = 'volume_driver'

#: How much a wrong name has in common with ours; Cinder's drivers have less.
_CLOSE = 0.8

_PACKAGE = backends.DRIVER.partition('.')[0]
_CLASS = backends.DRIVER.rpartition('.')[2]


@dataclasses.dataclass(frozen=True, slots=True)
class Misspelt:
    """A backend with a driver that does not exist.

    :param backend: its section.
    :param section: the one that names the driver.
    :param value: the name.
    """

    backend: str
    section: str
    value: str

    def __str__(self) -> str:
        """Return sentences that a terminal may show."""
        return (f'[{tables.shown(self.section)}] {OPTION}: there is no driver '
                f'{tables.shown(self.value)}. Did you mean {backends.DRIVER}?')


def enabled(sections: configuration.Sections) -> list[str]:
    """Return the names that ``enabled_backends`` has."""
    listed = sections.get('DEFAULT', {}).get('enabled_backends', [''])[-1]
    return [name.strip() for name in listed.split(',') if name.strip()]


def misspelt(sections: configuration.Sections) -> Iterator[Misspelt]:
    """Yield the enabled backends that seem to mean this driver."""
    for backend in enabled(sections):
        for section in (backend, opts.SHARED_SECTION):
            if values := sections.get(section, {}).get(OPTION):
                if _is_close(values[-1]):
                    yield Misspelt(backend, section, values[-1])
                break


def _is_close(value: str) -> bool:
    return value != backends.DRIVER and (
        _PACKAGE in value.lower() or value.endswith(_CLASS)
        or difflib.SequenceMatcher(
            None, value, backends.DRIVER).ratio() >= _CLOSE)


def seems_ours(sections: configuration.Sections, name: str) -> bool:
    """Tell whether a section, enabled or not, may be a backend of ours."""
    section = sections.get(name, {})
    return name not in ('DEFAULT', opts.SHARED_SECTION) and (
        any(_is_close(v) or v == backends.DRIVER
            for v in section.get(OPTION, ()))
        or any(option.startswith('mydriver') for option in section))

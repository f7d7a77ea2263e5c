# SPDX-License-Identifier: Apache-2.0
"""Turn sections into the text that oslo.config reads."""

from collections.abc import Mapping

Value = str | int | bool
Section = dict[str, Value]
Sections = dict[str, Section]


def merge(*parts: Mapping[str, Mapping[str, Value]]) -> Sections:
    """Merge sections; for each option the last value counts."""
    result: Sections = {}
    for part in parts:
        for name, options in part.items():
            result.setdefault(name, {}).update(options)
    return result


def render(sections: Mapping[str, Mapping[str, Value]]) -> str:
    """Return the text of a configuration file.

    :raises ValueError: when a value has a line break: the rest of it would be
        read as another option.
    """
    lines = []
    for name, options in sections.items():
        lines.append(f'[{name}]')
        for key, value in options.items():
            text = str(value).lower() if isinstance(value, bool) \
                else str(value)
            if '\n' in text:
                raise ValueError(f'[{name}] {key} has a line break')
            lines.append(f'{key} = {text}'.rstrip())
        lines.append('')
    return '\n'.join(lines)

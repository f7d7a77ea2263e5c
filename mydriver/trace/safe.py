# SPDX-License-Identifier: Apache-2.0
"""Text of unknown origin, made harmless for a terminal and for a page."""

import html
import unicodedata

from oslo_utils import strutils

#: Categories of characters that move the cursor, hide or reorder text.
_HIDDEN = frozenset(('Cc', 'Cf', 'Co', 'Cs', 'Zl', 'Zp'))


def masked(text: str) -> str:
    """Return text without the passwords that a log at DEBUG may hold."""
    return str(strutils.mask_password(text))


def plain(text: str, most: int = 400) -> str:
    """Return text on one line without control characters.

    :param most: how many characters to keep.
    """
    if len(text) > most:
        text = text[:max(most - 3, 0)] + '...'
    return ''.join(
        c if unicodedata.category(c) not in _HIDDEN
        else ' ' if c in '\t\n' else f'\\x{ord(c):02x}' for c in text)


def markup(text: str, most: int = 400) -> str:
    """Return text for HTML, also within a quoted attribute."""
    return html.escape(plain(text, most), quote=True)


def duration(seconds: float) -> str:
    """Return a duration with its unit, three significant digits."""
    if seconds < 0.9995:
        return f'{seconds * 1e3:.0f} ms' if seconds >= 0.01 else (
            f'{seconds * 1e3:.1f} ms')
    return f'{seconds:.2f} s' if seconds < 100 else f'{seconds:.0f} s'

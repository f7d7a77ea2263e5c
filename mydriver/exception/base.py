# SPDX-License-Identifier: Apache-2.0
"""The base of all errors: typed fields, and a text that is safe to log."""

import inspect
from typing import ClassVar, dataclass_transform

#: Longest text of one field that an error shows, in characters; of a longer
#: one it shows the beginning and the end.
FIELD_MAX = 1000
_FIELD_END = 200

#: Larger integers are shown by their size: Python refuses to print some.
_INT_MAX_BITS = 128


def shown(value: object, most: int = 100) -> str:
    """Return a value of unknown origin in a form that an error may show.

    :param value: anything; a text is shortened, a container shown by its type.
    :param most: how many characters of a text to keep.
    """
    if isinstance(value, str):
        text = _encodable(value[:most + 1])
        return text if len(text) <= most else (
            f'{text[:most]}... ({len(value)} characters)')
    if value is None or isinstance(value, bool | float):
        return repr(value)
    if isinstance(value, int) and value.bit_length() <= _INT_MAX_BITS:
        return str(value)
    return f'<{type(value).__name__}>'


@dataclass_transform()
class MyDriverError(Exception):
    """Base of all errors of this package.

    A subclass annotates its fields and gives a template. The fields are
    positional arguments, those of the base class first, and attributes. They
    are positional because oslo.privsep rebuilds an error on the client's side
    as ``cls(*args)``, and primitives because msgpack carries them.

    The text is bounded and can be encoded, whatever the arguments hold: the
    code that logs or stores it must not fail on a lone surrogate.

    :cvar fields: names of the positional arguments, from the annotations.
    :cvar template: the text, a ``str.format`` template over ``fields``.
    """

    fields: ClassVar[tuple[str, ...]] = ()
    template: ClassVar[str] = ''

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        cls.fields += tuple(
            name for name, kind in inspect.get_annotations(cls).items()
            if not str(kind).startswith('typing.ClassVar')
            and name not in cls.fields)
        if cls.__module__.startswith(f'{__package__}.'):
            # The package's name is the one that oslo.privsep sends.
            cls.__module__ = __package__

    def __init__(self, *args: object) -> None:
        if len(args) != len(self.fields):
            raise TypeError(
                f'{type(self).__name__} takes {", ".join(self.fields)}')
        super().__init__(*args)
        for name, value in zip(self.fields, args, strict=True):
            setattr(self, name, value)

    def __str__(self) -> str:
        return self.template.format(**{
            name: _bounded(value) for name, value in
            zip(self.fields, self.args, strict=True)})


def _encodable(text: str) -> str:
    """Return a text with lone surrogates escaped."""
    return text.encode(errors='backslashreplace').decode()


def _bounded(value: object) -> object:
    """Return a field's value for the text: bounded, and encodable."""
    if isinstance(value, str):
        # Escaped first: a lone surrogate is shown as six characters.
        text = _encodable(value)
        return text if len(text) <= FIELD_MAX else (
            f'{text[:FIELD_MAX - _FIELD_END]} ... ({len(value)} '
            f'characters) ... {text[-_FIELD_END:]}')
    if isinstance(value, int) and value.bit_length() > _INT_MAX_BITS:
        return f'<{value.bit_length()} bits>'
    return value

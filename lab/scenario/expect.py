# SPDX-License-Identifier: Apache-2.0
"""Compare what was seen with what must be."""

from lab import errors


class NotProven(errors.LabError):
    """What was seen is not what must be."""


def expect(held: object, what: str) -> None:
    """Check a condition.

    :param held: true when the condition holds.
    :param what: says what is wrong when it does not.
    :raises NotProven: with ``what``.
    """
    if not held:
        raise NotProven(what)


def expect_equal(wanted: object, found: object, what: str) -> None:
    """Compare two values.

    :param what: names what is compared.
    :raises NotProven: when the two differ.
    """
    if wanted != found:
        raise NotProven(f'{what}: expected {wanted}, found {found}')

# SPDX-License-Identifier: Apache-2.0
"""The errors in a traceback."""

from collections.abc import Iterable
import re

#: ``package.module.Some: text``, as a traceback ends. Of an error of Python's
#: own, which has no package, the name has to tell that it is one.
_RAISED = re.compile(
    r'(?:(?:\w+\.)+([A-Z]\w*)|'
    r'([A-Z]\w*(?:Error|Exception|Exit|Interrupt|Iteration|Timeout)))'
    r'(?:: (.*))?$')
#: Errors within a library that mean nothing by themselves: a queue was empty
#: until its deadline.
_INNER = ('Empty',)
#: What is looked at of a line, characters.
TEXT_MAX = 1000


def chain(lines: Iterable[str]) -> list[tuple[str, str]]:
    """Return the errors in a traceback, the first cause first.

    :returns: class and text.
    """
    found = []
    for line in lines:
        if line[:1].isspace():
            continue
        matched = _RAISED.match(line[:TEXT_MAX].rstrip())
        if matched and matched[1] not in _INNER:
            found.append((matched[1] or matched[2], matched[3] or ''))
    return found

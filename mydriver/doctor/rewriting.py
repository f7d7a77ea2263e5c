# SPDX-License-Identifier: Apache-2.0
"""Commands that change files of the host where they are.

sed puts a new file in the place of a link, and leaves the one that it leads to
as it is. So a command names the file itself, if only root decides where the
link leads; else the operator sees to it in an editor.
"""

from collections.abc import Iterable, Sequence
import os
import shlex

from mydriver import exception
from mydriver.privileged import owners


def editor(files: Iterable[str], line: int | None = None) -> str:
    """Return what opens files, for decisions of the operator.

    :param line: where the cursor is to be.
    """
    return ' '.join(['${EDITOR:-vi}', *([f'+{line}'] if line else []),
                     *map(shlex.quote, files)])


def sed(script: str, files: Sequence[str]) -> str:
    """Return what changes files by a script of sed."""
    places = _places(files)
    return (f'sed -i {shlex.quote(script)} {shlex.join(places)}' if places
            else editor(files))


def append(path: str, lines: Sequence[str]) -> str:
    """Return what adds lines to a file.

    An empty line comes first: the last one of the file may have no end.
    """
    places = _places([path])
    return (f"printf '%s\\n' {shlex.join(['', *lines])} >> "
            f'{shlex.quote(places[0])}' if places else editor([path]))


def _places(files: Sequence[str]) -> list[str]:
    """Return the paths of files without links in their places.

    :returns: none if others than root decide where one of the links leads.
    """
    found = [_place(path) for path in files]
    return [] if None in found else [path for path in found if path]


def _place(path: str) -> str | None:
    if not os.path.islink(path):
        return path
    real = os.path.realpath(path)
    try:
        step = owners.changeable(path)
    except (OSError, exception.ConfigurationError):
        return None  # it leads nowhere
    return real if step is None or step.path == real else None

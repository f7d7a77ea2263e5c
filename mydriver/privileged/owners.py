# SPDX-License-Identifier: Apache-2.0
"""Who can change what a path leads to.

Root may only believe a file if nobody else can write it, or replace it or
anything on the way to it.
"""

from collections.abc import Iterator
import dataclasses
import os
from pathlib import Path
import stat

from mydriver import exception, folders, permissions


@dataclasses.dataclass(frozen=True, slots=True)
class Step:
    """A file, or what leads to it, that others than root can change.

    :param path: of this step; what leads there is root's.
    :param found: what it is.
    :param problem: who can change it.
    """

    path: str
    found: os.stat_result
    problem: str

    def __str__(self) -> str:
        return (f'{self.path} {self.problem}, but whoever can change it '
                'decides what the privileged daemon does as root')

    @property
    def about_link(self) -> str:
        """What to do if it is a link.

        No command: it would change what the link leads to, whatever that is.
        """
        return (f'See where the link {self.path} leads to, and replace it by '
                'one of root.')


def changeable(path: str) -> Step | None:
    """Return the first step to a path that not only root can change.

    :raises ConfigurationError: when too many links lead there.
    """
    for step, found in _steps(path):
        if found.st_uid:
            return Step(step, found, f'belongs to user id {found.st_uid}')
        if _others_may_write(found):
            return Step(step, found, 'can be written by others (mode '
                        f'{found.st_mode & 0o7777:o})')
    return None


def check_owner(path: str) -> None:
    """Check that only root decides what is at a path.

    :raises ConfigurationError: with the remedy.
    """
    step = changeable(path)
    if step:
        raise exception.ConfigurationError(path, str(step), _remedy(step))


def _others_may_write(found: os.stat_result) -> bool:
    if stat.S_ISLNK(found.st_mode):
        return False  # a link's own mode has no meaning
    bits = stat.S_IWOTH | (stat.S_IWGRP if found.st_gid else 0)
    if not found.st_mode & bits:
        return False
    # Root's files in a sticky directory, such as /tmp, cannot be replaced.
    return not (stat.S_ISDIR(found.st_mode) and found.st_mode & stat.S_ISVTX)


def _remedy(step: Step) -> str:
    """Return what to do. The service has to read it when it starts again."""
    if stat.S_ISLNK(step.found.st_mode):
        return step.about_link
    commands = permissions.for_owner(step.path, step.found)
    return f'Run {commands}.' if commands else (
        "Give it to root and to the group of the service's user, who has to "
        'read it: mode 750 for a directory, 640 for a file.')


def _steps(path: str) -> Iterator[tuple[str, os.stat_result]]:
    """Yield each directory and link on the way to a path, and the file."""
    rest = list(reversed(Path(os.path.abspath(path)).parts[1:]))
    at, links = '/', 0
    yield at, os.stat(at)
    while rest:
        part = rest.pop()
        if part == '..':
            at = os.path.dirname(at)
            continue
        step = os.path.join(at, part)
        found = os.lstat(step)
        yield step, found
        if not stat.S_ISLNK(found.st_mode):
            at = step
            continue
        links += 1
        if links > folders.MAX_LINKS:
            raise exception.ConfigurationError(
                path, 'too many links lead to it', 'Name the file itself.')
        to = Path(os.readlink(step))
        if to.is_absolute():
            at = '/'
        rest += reversed(to.parts[to.is_absolute():])


def open_folder(path: str) -> int:
    """Open a directory that the files name.

    Directories on the way may belong to the caller. A link in place of one is
    followed only when root made it.

    :returns: a descriptor that names can be looked up in; the caller closes
        it.
    :raises RequestRefused: for a link of another user.
    :raises OSError: when the directory cannot be reached.
    """
    def refuse(part: str, found: os.stat_result, _to: str, _last: bool
               ) -> None:
        if found.st_uid:
            raise exception.RequestRefused(
                f'directory {path}', f'{part} is a link of user id '
                f'{found.st_uid}')

    return folders.open_folder(path, refuse)

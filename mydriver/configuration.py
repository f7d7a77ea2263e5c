# SPDX-License-Identifier: Apache-2.0
"""Configuration files of a service, with errors that name what is wrong."""

from collections.abc import Iterable, Iterator, Sequence
import contextlib
import glob
import os
from pathlib import Path

from oslo_config import cfg, iniparser

from mydriver import exception

#: Section -> option -> the values that files give it, in their order.
Sections = dict[str, dict[str, list[str]]]

#: What oslo.config raises for a file besides its own errors, which name it.
_UNREADABLE = (OSError, UnicodeDecodeError)


def files_of(files: Sequence[str], directories: Iterable[str]) -> list[str]:
    """Return the files that oslo.config reads, in its order.

    :param directories: their ``*.conf`` files, but for hidden ones, come
        after ``files``.
    """
    return [*files, *(path for folder in directories for path in sorted(
        glob.glob(os.path.join(glob.escape(folder), '*.conf'))))]


def parse(files: Iterable[str]) -> Sections:
    """Return the values that files give.

    :raises ConfigurationError: when a file cannot be read; the text does not
        have the contents of the file, which may be secret.
    """
    found: Sections = {}
    for path in files:
        try:
            cfg.ConfigParser(path, found).parse()
        except iniparser.ParseError as e:
            raise exception.ConfigurationError(
                path, f'line {e.lineno}: {e.msg}', 'Correct the line.') from e
        except UnicodeDecodeError as e:
            raise exception.ConfigurationError(
                path, f'line {_undecodable(path)} is not UTF-8',
                'Correct the line.') from e
        except PermissionError as e:
            raise exception.ConfigurationError(
                path, f'{e.strerror}', 'Run the command as root.') from e
        except OSError as e:
            raise exception.ConfigurationError(
                path, f'{e.strerror}', 'Name a file.') from e
    return found


@contextlib.contextmanager
def named(files: Sequence[str], directories: Iterable[str]) -> Iterator[None]:
    """Name the file when oslo.config cannot read one of these.

    :raises ConfigurationError: as :func:`parse`.
    """
    try:
        yield
    except _UNREADABLE:
        parse(files_of(files, directories))
        raise


def _undecodable(path: str) -> int:
    """Return the number of the first line that is not UTF-8."""
    for number, line in enumerate(Path(path).read_bytes().splitlines(), 1):
        try:
            line.decode()
        except UnicodeDecodeError:
            return number
    return 0

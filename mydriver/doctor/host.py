# SPDX-License-Identifier: Apache-2.0
"""The host that is checked: its files, and the commands that are run on it."""

from collections.abc import Sequence
import dataclasses
import errno
import os
from pathlib import Path
import pwd
import shutil
import subprocess
import sys
from typing import Any

from mydriver import configuration
from mydriver.hostfiles import choices
from mydriver.hostfiles import root as roots

#: Where root's programs are when PATH lacks their directories.
_SBIN = '/usr/sbin:/usr/local/sbin:/sbin'

#: Where this package is; modules that are run have to be of it.
_PLACE = str(Path(__file__).resolve().parents[2])

#: How long a command may take, seconds.
COMMAND_TIMEOUT_S = 10.0


@dataclasses.dataclass(frozen=True, slots=True)
class Answer:
    """What a command said.

    :param status: its exit status.
    :param out: its standard output.
    :param err: its standard error.
    """

    status: int
    out: str
    err: str


@dataclasses.dataclass(frozen=True, slots=True)
class Host:
    """A host of one kind.

    :param kind: ``storage`` or ``compute``.
    :param user: the user that the service runs as.
    :param files: configuration files of the service, as paths in the root.
    :param directories: directories with more of them.
    :param stores: kinds of stores; empty on compute hosts.
    :param root: where its filesystem is.
    :param is_set_up: ``mydriver setup`` was run, and so the user is known.
    :param defaults: directories that oslo.config reads if no others are named.
    :param defaults_first: it reads them before the files, which it does if the
        files are named on the command line; of several values the last counts.
    """

    kind: str
    user: str
    files: tuple[str, ...] = ()
    directories: tuple[str, ...] = ()
    stores: tuple[str, ...] = ()
    root: Path = Path('/')
    is_set_up: bool = False
    defaults: tuple[str, ...] = ()
    defaults_first: bool = False

    def at(self, path: str) -> Path:
        """Return where a path of the host is."""
        return self.root / path.lstrip('/')

    def filesystem(self) -> roots.Root:
        """Return its root directory, for the files of ``mydriver setup``."""
        return roots.Root(str(self.root))

    def text(self, path: str) -> str | None:
        """Return what is in a file; None if there is none.

        :raises OSError: when it cannot be read.
        """
        try:
            return self.at(path).read_text(errors='replace')
        except (FileNotFoundError, NotADirectoryError):
            return None

    def config(self) -> list[str]:
        """Return the configuration files that exist, in their order."""
        if self.directories:
            return configuration.files_of(*self.sources())
        more = configuration.files_of(
            [], [str(self.at(folder)) for folder in self.defaults])
        files = self._files()
        return [*more, *files] if self.defaults_first else [*files, *more]

    def sources(self) -> tuple[list[str], list[str]]:
        """Return files and directories, for who is to read the same.

        A directory that is named keeps oslo.config from reading those that it
        reads by default. Without one it may read them twice, which does no
        harm: what is read last is the same.
        """
        if self.directories:
            return self._files(), [str(self.at(d)) for d in self.directories]
        return self.config(), []

    def _files(self) -> list[str]:
        return [str(self.at(f)) for f in self.files if self.at(f).exists()]

    def setting(self, section: str, name: str) -> str | None:
        """Return the last value that the files give an option, as text.

        :raises ConfigurationError: when a file cannot be read.
        """
        values = self.sections().get(section, {}).get(name)
        return values[-1] if values else None

    def sections(self) -> configuration.Sections:
        """Return the values that the files give, by section and option.

        :raises ConfigurationError: when a file cannot be read; the text does
            not have the contents of the file, which may be secret.
        """
        return configuration.parse(self.config())

    def choices(self) -> choices.Choices:
        """Return what the files of ``mydriver setup`` would depend on."""
        return choices.Choices(self.kind, self.user, '', '', self.files,
                               self.stores)


def program(name: str) -> str | None:
    """Return where a program is, None if it is not installed."""
    return shutil.which(name, path=os.pathsep.join(
        [os.environ.get('PATH', ''), _SBIN]))


def run(command: Sequence[str], timeout_s: float = COMMAND_TIMEOUT_S,
        user: str | None = None) -> Answer | None:
    """Run a command that changes nothing.

    :param command: its name and its arguments.
    :param timeout_s: how long it may take.
    :param user: whom to run it as; only root may say so.
    :returns: None when it is not installed.
    :raises subprocess.TimeoutExpired: when it takes longer.
    :raises OSError: when it cannot be run.
    """
    found = program(command[0])
    if found is None:
        return None
    more: dict[str, Any] = {} if user is None else {
        'user': user, 'group': _group(user), 'extra_groups': _groups(user)}
    done = subprocess.run(
        [found, *command[1:]], check=False, stdin=subprocess.DEVNULL,
        capture_output=True, text=True, errors='replace', timeout=timeout_s,
        env={**os.environ, 'LC_ALL': 'C', 'PYTHONPATH': _PLACE},
        start_new_session=True, cwd='/', **more)
    return Answer(done.returncode, done.stdout, done.stderr)


def run_module(module: str, arguments: Sequence[str], timeout_s: float,
               user: str | None = None) -> Answer:
    """Run a module of this package in a process of its own, see :func:`run`.

    :param module: its full name.
    """
    answer = run([sys.executable, '-W', 'ignore', '-m', module, *arguments],
                 timeout_s, user)
    if answer is None:
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT),
                                sys.executable)
    return answer


def _group(user: str) -> int:
    return pwd.getpwnam(user).pw_gid


def _groups(user: str) -> list[int]:
    return os.getgrouplist(user, _group(user))

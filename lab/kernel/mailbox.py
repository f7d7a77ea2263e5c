# SPDX-License-Identifier: Apache-2.0
"""Run commands on a running node from the host.

The mailbox is a directory that host and node share. The host moves a directory
``ID.request`` into it, which has ``argv`` (words ended by NUL), ``cwd`` and
``timeout`` (seconds). The node's loop (``node_mailbox`` in functions.sh) runs
the command and writes ``stdout``, ``stderr`` and, last, ``status`` to the
directory. Commands run in parallel. The mailbox needs no network, and works
while a service hangs.
"""

from collections.abc import Callable, Iterator, Sequence
import contextlib
import dataclasses
from pathlib import Path
import secrets
import shlex
import shutil
from typing import BinaryIO

from lab import errors, process

#: Time that the node may need in addition to a command's timeout, seconds.
_SLACK_S = 30

#: Status of a command that timeout(1) ended by SIGTERM, and by SIGKILL.
_TIMED_OUT = (124, 137)


@dataclasses.dataclass(frozen=True)
class Result:
    """The result of a command on a node.

    :param status: exit status; above 128 if a signal ended it.
    :param stdout: its standard output.
    :param stderr: its standard error.
    """

    status: int
    stdout: bytes
    stderr: bytes

    @property
    def text(self) -> str:
        """Its standard output as text."""
        return self.stdout.decode(errors='replace')


def _nothing() -> None:
    pass


class Mailbox:
    """The host's end of a node's mailbox.

    :param folder: shared with the node.
    :param node: the node's process; requests fail when it ends.
    """

    def __init__(self, folder: Path, node: process.Process) -> None:
        self._folder = folder
        self._node = node

    @staticmethod
    def reset(folder: Path) -> None:
        """Empty it, before the node is started."""
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)

    def wait_ready(self, timeout_s: float = 180) -> None:
        """Wait until the node serves it, at the end of the node's payload.

        :raises DeadlinePassed: after ``timeout_s``.
        :raises ProcessEnded: when the node ended.
        """
        self._wait(self._folder / 'ready', f'{self._node.name} to be up',
                   timeout_s)

    def run(self, argv: Sequence[str], *, timeout_s: int = 120,
            cwd: Path = Path('/')) -> Result:
        """Run a command in the node and return its result.

        :param argv: the command.
        :param timeout_s: time after which it is stopped, seconds.
        :param cwd: its working directory.
        :raises DeadlinePassed: when it was stopped.
        :raises ProcessEnded: when the node ended.
        """
        with self._post(argv, timeout_s, cwd) as request:
            self._await(request, argv, timeout_s)
            return Result(int((request / 'status').read_text()),
                          (request / 'stdout').read_bytes(),
                          (request / 'stderr').read_bytes())

    def check(self, argv: Sequence[str], *, timeout_s: int = 120) -> str:
        """Run a command that must succeed; return its output.

        :raises LabError: when its status is not 0.
        """
        result = self.run(argv, timeout_s=timeout_s)
        if result.status:
            raise errors.LabError(
                f'{shlex.join(argv)} in {self._node.name}: status '
                f'{result.status}\n{result.text}'
                f'{result.stderr.decode(errors="replace")}')
        return result.text

    def stream(self, argv: Sequence[str], stdout: BinaryIO, stderr: BinaryIO,
               *, timeout_s: int = 120, cwd: Path = Path('/')) -> int:
        """Run a command and copy its output as it appears.

        :returns: its exit status.
        :raises DeadlinePassed: when it was stopped.
        :raises ProcessEnded: when the node ended.
        """
        with (self._post(argv, timeout_s, cwd) as request,
              process.Follower(request / 'stdout', stdout) as out,
              process.Follower(request / 'stderr', stderr) as err):
            def copy() -> None:
                out.copy()
                err.copy()
            self._await(request, argv, timeout_s, copy)
            return int((request / 'status').read_text())

    @contextlib.contextmanager
    def _post(self, argv: Sequence[str], timeout_s: int,
              cwd: Path) -> Iterator[Path]:
        """Post a request, yield its directory, remove it afterwards."""
        name = secrets.token_hex(6)
        scratch = self._folder / f'{name}.new'
        scratch.mkdir()
        (scratch / 'argv').write_bytes(
            b''.join(a.encode('utf-8', 'surrogateescape') + b'\0'
                     for a in argv))
        (scratch / 'cwd').write_text(f'{cwd}\n')
        (scratch / 'timeout').write_text(f'{timeout_s}\n')
        for output in ('stdout', 'stderr'):
            (scratch / output).touch()
        request = scratch.rename(self._folder / f'{name}.request')
        try:
            yield request
        finally:
            shutil.rmtree(request, ignore_errors=True)

    def _await(self, request: Path, argv: Sequence[str], timeout_s: int,
               copy: Callable[[], None] = _nothing) -> None:
        what = f'{shlex.join(argv)} in {self._node.name}'
        self._wait(request / 'status', what, timeout_s + _SLACK_S, copy)
        copy()
        if int((request / 'status').read_text()) in _TIMED_OUT:
            raise errors.DeadlinePassed(
                what, timeout_s, (request / 'stderr').read_text()[-2000:])

    def _wait(self, path: Path, what: str, timeout_s: float,
              copy: Callable[[], None] = _nothing) -> None:
        """Wait until the node has made a file."""
        def there() -> bool:
            copy()
            alive = self._node.alive()
            if path.exists():
                return True
            if not alive:
                raise errors.ProcessEnded(
                    f'{self._node.name}, while waiting for {what},',
                    self._node.tail())
            return False

        process.wait_for(there, what, timeout_s, details=self._node.tail)

# SPDX-License-Identifier: Apache-2.0
"""All logs of a trace, which can be read several times."""

from collections.abc import Iterator, Sequence
import contextlib
from pathlib import Path
import shutil
import tempfile
from typing import IO

from mydriver import exception
from mydriver.trace import files, journald, record

#: Stands for standard input.
STDIN = '-'


class Logs:
    """Logs in files, or a journal in a file or from standard input.

    :param paths: files, directories, pipes, or ``-``.
    :param stdin: what ``-`` stands for; it is copied to a temporary file.
    :raises ConfigurationError: if there is no log at all.
    """

    def __init__(self, paths: Sequence[str],
                 stdin: IO[bytes] | None = None) -> None:
        self.problems: list[files.Problem] = []
        #: The services that logs were read of.
        self.sources: set[record.Source] = set()
        self._spools: dict[str, IO[bytes]] = {}
        if STDIN in paths and stdin is not None:
            self._copy('standard input', stdin)
        named = [p for p in paths if p != STDIN]
        for path in [p for p in named if _is_pipe(p)]:
            named.remove(path)
            try:
                with open(path, 'rb') as pipe:
                    self._copy(path, pipe)
            except OSError as e:
                self._report(path, e)
        self._files = files.find(named, self.problems)
        if not self._files and not self._spools:
            raise exception.ConfigurationError(
                '--log', '; '.join(('there is no log in ' + ', '.join(paths),
                                    *map(str, self.problems))),
                'Name files or directories with logs, or "-" and pipe '
                '"journalctl -o export" to it.')

    def close(self) -> None:
        """Remove the copies of standard input and of pipes."""
        for spool in self._spools.values():
            spool.close()

    def _copy(self, name: str, stream: IO[bytes]) -> None:
        """Copy a stream, which can be read once only."""
        spool = self._spools[name] = tempfile.TemporaryFile()  # noqa: SIM115
        shutil.copyfileobj(stream, spool, 1 << 20)

    def records(self, words: Sequence[str]) -> Iterator[record.Record]:
        """Yield the records that have one of some words, log by log.

        :param words: identifiers in lower case, as services log them.
        """
        for found in self.by_file(words):
            yield from found

    def by_file(self, words: Sequence[str]
                ) -> Iterator[Iterator[record.Record]]:
        """Yield the same for each file; each has to be read to its end."""
        wanted = [w.encode() for w in sorted(words)]
        for name, spool in self._spools.items():
            try:
                stream = files.unpacked(spool)
            except OSError as e:
                self._report(name, e)
                continue
            yield self._of(name, stream, record.Source('', name), wanted)
        for path in self._files:
            source = files.source_of(path) or record.Source(
                files.service_of(path.name), path.name)
            with contextlib.ExitStack() as stack:
                try:
                    stream = stack.enter_context(files.opened(path))
                except files.ERRORS as e:
                    self._report(path, e)
                    continue
                yield self._of(str(path), stream, source, wanted)

    def _of(self, name: str, stream: IO[bytes], source: record.Source,
            wanted: Sequence[bytes]) -> Iterator[record.Record]:
        try:
            if journald.is_journal(journald.beginning(stream)):
                for found in journald.records(stream, wanted):
                    self.sources.add(found.source)
                    yield found
                return
            if source.service:
                self.sources.add(source)
            for found in files.records(stream, source, wanted):
                self.sources.add(found.source)
                yield found
        except files.ERRORS as e:
            self._report(name, e)

    def _report(self, name: str | Path, error: Exception) -> None:
        found = files.problem(name, error)
        if found not in self.problems:
            self.problems.append(found)


def _is_pipe(path: str) -> bool:
    """Tell whether a path is a pipe, as far as this user may know."""
    try:
        return Path(path).is_fifo()
    except OSError:
        return False

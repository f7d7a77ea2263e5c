# SPDX-License-Identifier: Apache-2.0
"""What is new in a log file since it was read last.

A log is rotated in one of two ways: it is renamed, and its service goes on in
a new file, or it is copied, and cut to nothing (copytruncate). So a place in
a log is more than a number of bytes: the digest of the file's beginning tells
whether a file is the one that was read, whatever its name is now.

An empty file has no beginning. So a place in one also says which file came
before it: what was rotated since then is new.
"""

from collections.abc import Callable, Iterator
import contextlib
import dataclasses
import errno
import hashlib
import itertools
import os
from pathlib import Path
import re
import stat
from typing import IO

from mydriver.trace import files

#: How much of a file's beginning identifies it, bytes: the time of a line is
#: in it.
_HEAD_BYTES = 1024
#: How much is read at once, bytes.
_BLOCK_BYTES = 1 << 20


@dataclasses.dataclass(frozen=True, slots=True)
class Place:
    """How far a log was read.

    :param offset: bytes of the file that were read, uncompressed.
    :param head_bytes: how many of its first bytes the digest is of.
    :param head: the digest. Without such bytes it is that of the file before,
        or of nothing if there was none.
    :param inode: the number of the file, which identifies one without such
        bytes if the file before has gone.
    """

    offset: int
    head_bytes: int
    head: str
    inode: int


class Follower:
    """Reads a log from a place on, through its rotated files.

    :param path: of the log.
    :param place: where the last one stopped reading; None begins at the end.
    """

    def __init__(self, path: Path, place: Place | None) -> None:
        self._path = path
        #: Behind what was read.
        self.place = place
        #: The file that the place is in has gone: some lines were not read.
        self.is_gap = False

    def blocks(self, word: bytes, most_bytes: int) -> Iterator[bytes]:
        """Yield the new lines that contain a word, many at once.

        :param word: none of its bytes is a line end.
        :param most_bytes: stop when about as much was read; the next time
            goes on there.
        :raises OSError: when the log or a rotated file of it cannot be read.
        """
        with contextlib.ExitStack() as stack:
            current = _opened(stack, self._path)
            if self.place is None:
                if current is None:
                    raise FileNotFoundError(errno.ENOENT, 'it does not exist')
                self.place = _end(current)
                if not self.place.head_bytes:
                    before = [*self._streams(stack, current)][-1:]
                    self.place = dataclasses.replace(
                        self.place, head=before[0] if before else _NOTHING)
                return
            chain = self._chain(stack, current, self.place)
            for n, (stream, offset) in enumerate(chain, 1):
                for block in self._of(stream, offset, n == len(chain)):
                    yield matching(block, word)
                    most_bytes -= len(block)
                    if most_bytes <= 0:
                        return

    def _chain(self, stack: contextlib.ExitStack, current: IO[bytes] | None,
               place: Place) -> list[tuple[IO[bytes], int]]:
        """Return the files to read, and from where on, in this order."""
        if place.head_bytes and current and _is_of(current, place):
            if os.fstat(current.fileno()).st_size >= place.offset:
                return [(current, place.offset)]
            # Somebody has cut lines off its end.
            self.is_gap, self.place = True, _end(current)
            return []
        found = self._streams(stack, current)
        streams, chain = [*found.values()], None
        if place.head_bytes == 0 and place.head in (*found, _NOTHING):
            after = [*found].index(place.head) + 1 if (
                place.head in found) else 0
            chain = [(newer, 0) for newer in streams[after:]]
            # The file was empty. It is gone if it is neither the current one
            # nor a rotated one, which may still be empty.
            self.is_gap |= bool(
                not chain and current and _inode(current) != place.inode
                and _NOTHING not in found)
        elif current and _is_of(current, place):
            return [(current, place.offset)]
        else:
            n = next((n for n, stream in enumerate(streams)
                      if _is_of(stream, place)), None)
            if n is not None:
                chain = [(streams[n], place.offset),
                         *((newer, 0) for newer in streams[n + 1:])]
        if current is None and not chain:
            raise FileNotFoundError(errno.ENOENT, 'it does not exist')
        if chain is None:
            self.is_gap, chain = True, []
        if current and not (
                chain and _is_still_written(chain[-1][0], current)):
            chain.append((current, 0))
        return chain

    def _streams(self, stack: contextlib.ExitStack,
                 current: IO[bytes] | None) -> dict[str, IO[bytes]]:
        """Return the rotated files by digest, the oldest first."""
        found: dict[str, IO[bytes]] = {}
        for path in self._rotated(current):
            if stream := _opened(stack, path, files.opened):
                # One that is being compressed exists twice.
                found.setdefault(_digest(stream.read(_HEAD_BYTES)), stream)
        return found

    def _rotated(self, current: IO[bytes] | None) -> list[Path]:
        """Return the rotated files, the oldest first.

        :param current: it may have been renamed since it was opened.
        """
        but = _inode(current) if current else None
        name = re.compile(
            re.escape(self._path.name)
            + rf'[.-]\d[\d._-]*({files.PACKED_ENDING})?|'
            + re.escape(self._path.stem) + r'[.-]\d[\d._-]*'
            + re.escape(self._path.suffix) + rf'({files.PACKED_ENDING})?')
        found = []
        for entry in os.scandir(self._path.parent):
            with contextlib.suppress(FileNotFoundError):
                if name.fullmatch(entry.name) and entry.inode() != but:
                    found.append((entry.stat().st_mtime_ns, entry.path))
        return [Path(path) for _, path in sorted(found)]

    def _of(self, stream: IO[bytes], offset: int, is_last: bool
            ) -> Iterator[bytes]:
        """Yield blocks of whole lines of a file; keep the place behind them.

        :param is_last: the service may be writing its last line.
        """
        inode = _inode(stream)
        stream.seek(0)
        head = stream.read(_HEAD_BYTES)
        stream.seek(offset)
        before, self.place = self.place, _place(offset, head, inode)
        if before and not self.place.head_bytes:
            self.place = dataclasses.replace(self.place, head=before.head)
        rest = b''
        while data := stream.read(_BLOCK_BYTES):
            block = rest + data
            whole = block.rfind(b'\n') + 1
            if not whole and len(block) > _BLOCK_BYTES:
                whole = len(block)  # no line of interest is as long
            block, rest = block[:whole], block[whole:]
            if block:
                offset += whole
                self.place = _place(offset, head, inode)
                yield block
        if rest and not is_last:
            self.place = _place(offset + len(rest), head, inode)
            yield rest


def matching(block: bytes, word: bytes) -> bytes:
    """Return the lines of a block that contain a word."""
    lines = []
    at = block.find(word)
    while at >= 0:
        end = block.find(b'\n', at)
        end = len(block) if end < 0 else end
        lines.append(block[block.rfind(b'\n', 0, at) + 1:end])
        at = block.find(word, end)
    return b'\n'.join(lines)


def _inode(stream: IO[bytes]) -> int:
    return os.fstat(stream.fileno()).st_ino


def _plain(path: Path) -> IO[bytes]:
    return path.open('rb')


def _opened(stack: contextlib.ExitStack, path: Path,
            how: Callable[[Path], IO[bytes]] = _plain) -> IO[bytes] | None:
    """Open a log until the stack ends; None if it is not there."""
    try:
        if not stat.S_ISREG(path.stat().st_mode):
            raise OSError(errno.EINVAL, 'it is no regular file')
        return stack.enter_context(how(path))
    except FileNotFoundError:
        return None


def _is_still_written(rotated: IO[bytes], current: IO[bytes]) -> bool:
    """Tell whether the service may not have begun the new file yet.

    What is compressed is complete.
    """
    return (not isinstance(rotated, files.PACKED_TYPES)
            and not os.fstat(current.fileno()).st_size)


def _is_of(stream: IO[bytes], place: Place) -> bool:
    """Tell whether a place is in a file."""
    if not place.head_bytes:
        return os.fstat(stream.fileno()).st_ino == place.inode
    stream.seek(0)
    head = stream.read(place.head_bytes)
    return len(head) == place.head_bytes and _digest(head) == place.head


def _end(stream: IO[bytes]) -> Place:
    """Return the place behind the last whole line of a file."""
    stream.seek(0)
    head = stream.read(_HEAD_BYTES)
    end = stream.seek(0, os.SEEK_END)
    for back in itertools.count(1):
        start = max(0, end - back * _BLOCK_BYTES)
        stream.seek(start)
        whole = stream.read(_BLOCK_BYTES).rfind(b'\n') + 1
        if whole or not start:
            break
    return _place(start + whole, head, os.fstat(stream.fileno()).st_ino)


def _place(offset: int, head: bytes, inode: int) -> Place:
    head = head[:offset]
    return Place(offset, len(head), _digest(head), inode)


def _digest(head: bytes) -> str:
    return hashlib.sha256(head).hexdigest()


#: Stands for a file that is not there.
_NOTHING = _digest(b'')

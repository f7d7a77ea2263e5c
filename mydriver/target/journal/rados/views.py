# SPDX-License-Identifier: Apache-2.0
"""What was read of a target's object, and what a change makes of it."""

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
import dataclasses
import hashlib
import json
from typing import TypeVar

from mydriver.ceph import omap
from mydriver.target.journal import values as stored
from mydriver.target.journal.rados import errors, keys, record, records

_T = TypeVar('_T', bound=record.Record)

#: Takes keys and ranges; returns what an object has of them.
Reader = Callable[[Collection[str], Sequence[omap.Range]], Mapping[str, str]]


class Raced(Exception):
    """The object has changed since it was first read."""


class View:
    """What was read of a target's object, all of the same moment.

    :param path: of the object, for errors.
    :param asked: the keys that were asked for.
    :param values: by key; among them the header.
    :param reader: reads more.
    """

    def __init__(self, path: str, asked: Collection[str],
                 values: Mapping[str, str], reader: Reader) -> None:
        self.path = path
        self.values = dict(values)
        self._read = dict(values)
        self._asked = {keys.HEADER, *asked, *values}
        self._reader = reader
        self._parsed: dict[str, tuple[str, record.Record]] = {}
        self.header_text = values.get(keys.HEADER, '')
        if not self.header_text:
            raise errors.damaged(path, 'it has no header')
        self.header = self.parsed(keys.HEADER, records.Header,
                                  self.header_text)

    def more(self, names: Collection[str] = (),
             ranges: Sequence[omap.Range] = ()) -> None:
        """Read more keys, as of the same moment.

        :raises Raced: when the object has changed since.
        """
        self._asked.update(names)
        self.add(self._reader([keys.HEADER, *names], ranges))

    def add(self, found: Mapping[str, str]) -> None:
        """Add keys that were read, together with the header.

        :raises Raced: when the object has changed since.
        """
        if found.get(keys.HEADER) != self.header_text:
            raise Raced
        self._asked.update(found)
        for key, value in found.items():
            if key not in self._read:
                self._read[key] = self.values[key] = value

    def load(self, key: str, kind: type[_T]) -> _T | None:
        """Return the record of a key that was read, None if it has none.

        :raises JournalDamaged: when it is not valid.
        """
        text = self.values.get(key)
        if text is None:
            return None
        known = self._parsed.get(key)
        if known is None or known[0] != text:
            known = self._parsed[key] = (text, self.parsed(key, kind, text))
        if not isinstance(known[1], kind):
            raise TypeError(f'{key} is no {kind.__name__}')
        return known[1]

    def below(self, prefix: str) -> Iterator[tuple[str, str]]:
        """Return keys that begin with a prefix.

        :returns: each key and the part of it after the prefix, in order.
        """
        for key in sorted(k for k in self.values if k.startswith(prefix)):
            yield key, key[len(prefix):]

    def parsed(self, key: str, kind: type[_T], text: str) -> _T:
        """Return the record that a text stands for.

        :raises JournalDamaged: when it is not valid.
        """
        try:
            return kind.parse(key, text)
        except stored.Damaged as e:
            raise self.damaged(key, str(e)) from e

    def need(self, key: str, kind: type[_T]) -> _T:
        """Return the record of a key that others refer to.

        :raises JournalDamaged: when it is missing or not valid.
        """
        found = self.load(key, kind)
        if found is None:
            raise self.damaged(key, 'it is missing, and others refer to it')
        return found

    def damaged(self, key: str, reason: str) -> Exception:
        """Return the error for a damaged key."""
        return errors.damaged(f'{self.path}, key {key}', reason)


class Change(View):
    """A change of a target's object, from its read until it is written.

    :ivar volumes: the volumes that it is about; None for all of the target's.
    :ivar absent: keys that must not exist when it is made.
    """

    def __init__(self, path: str, asked: Collection[str],
                 values: Mapping[str, str], reader: Reader) -> None:
        super().__init__(path, asked, values, reader)
        self.volumes: set[str] | None = set()
        self.absent: set[str] = set()
        self._removed: set[str] = set()
        self._header = self.header

    @property
    def generation(self) -> int:
        """Number of this change."""
        return self._header.generation + 1

    def put(self, key: str, value: record.Record) -> None:
        """Set the record of a key."""
        self.values[key] = value.text(key)
        self._removed.discard(key)

    def remove(self, key: str) -> None:
        """Remove a key; it need not exist."""
        self.values.pop(key, None)
        self._removed.add(key)

    def result(self) -> tuple[dict[str, str], set[str]]:
        """Return what is to be written, and which keys are to be removed.

        :returns: nothing at all when nothing is different.
        """
        put = {key: text for key, text in self.values.items()
               if self._read.get(key) != text}
        removed = {key for key in self._removed
                   if key in self._read or key not in self._asked}
        if not put and not removed and self.header == self._header:
            return {}, set()
        put[keys.HEADER] = self._next_header(put, removed).text(keys.HEADER)
        log = keys.log(self.generation)
        put[log] = records.Log(
            self.generation, None if self.volumes is None
            else sorted(self.volumes)).text(log)
        return put, removed

    def _next_header(self, put: Mapping[str, str], removed: Collection[str]
                     ) -> records.Header:
        seal = int(self.header.seal, 16)
        counts = counts_of(self.header)
        for key in (*put, *removed):
            prefix = key[:key.find('/') + 1]
            if prefix not in keys.SEALED:
                continue
            if key not in self._asked:
                raise AssertionError(f'{key} is changed without being read')
            for text, step in ((self._read.get(key), -1), (put.get(key), 1)):
                if text is not None:
                    seal ^= digest(self.header.id, key, text)
                    counts[prefix] += step
        return with_counts(dataclasses.replace(
            self.header, generation=self.generation, seal=f'{seal:016x}'),
            counts)


def digest(object_id: str, key: str, text: str) -> int:
    """Return what a record adds to the seal of its object, or takes off it.

    It is combined with exclusive or, so that the order does not matter.
    """
    return int.from_bytes(hashlib.blake2b(
        json.dumps([object_id, key, text]).encode(), digest_size=8).digest())


def counts_of(header: records.Header) -> dict[str, int]:
    """Return how many keys an object has, by prefix."""
    return {keys.EXPORTS: header.exports, keys.MAPPINGS: header.mappings,
            keys.NODES: header.nodes, keys.COUNTERS: header.counters}


def with_counts(header: records.Header, counts: Mapping[str, int]
                ) -> records.Header:
    """Return a header with other counts."""
    return dataclasses.replace(
        header, exports=counts[keys.EXPORTS], mappings=counts[keys.MAPPINGS],
        nodes=counts[keys.NODES], counters=counts[keys.COUNTERS])

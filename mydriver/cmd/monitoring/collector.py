# SPDX-License-Identifier: Apache-2.0
"""Reads the metrics of the backends, and of other sources, at each scrape."""

from collections.abc import Callable, Iterable, Iterator, Sequence
import importlib.metadata
import threading
import time
from typing import Protocol

from oslo_log import log as logging
from prometheus_client import core, registry

from mydriver import exception
from mydriver.cmd import rivals
from mydriver.cmd.monitoring import catalogue

LOG = logging.getLogger(__name__)

Part = Callable[[catalogue.Families], None]


class Source(Protocol):
    """Something that metrics are read from."""

    @property
    def name(self) -> str:
        """Names it in the label ``backend``; empty if it is none."""

    def parts(self) -> Iterable[tuple[str, Part]]:
        """Yield names of parts, and the functions that read them.

        A function that raises an error has added nothing that is wrong.
        """


class Collector(registry.Collector):
    """Reads all sources; one that fails does not stop the others.

    :param sources: what to read.
    :param is_storage: the host has exports that other services could clear.
    """

    def __init__(self, sources: Sequence[Source], *,
                 is_storage: bool = True) -> None:
        self._sources = sources
        self._is_storage = is_storage
        self._lock = threading.Lock()
        #: The errors of the last scrape, by source and part.
        self.errors: dict[tuple[str, str], str] = {}

    def describe(self) -> Iterable[core.Metric]:
        """Return the metrics that there can be, without reading any."""
        return catalogue.described()

    def collect(self) -> Iterator[core.Metric]:
        """Read the metrics; who asks meanwhile waits."""
        with self._lock:
            return iter(self._collected())

    def _collected(self) -> catalogue.Families:
        families = catalogue.Families()
        families.add('build_info', 1, importlib.metadata.version('mydriver'))
        families.add('scrape_timestamp_seconds', time.time())
        if self._is_storage:
            families.add('rival_warnings', len(list(rivals.warnings())))
        errors: dict[tuple[str, str], str] = {}
        for source in self._sources:
            started_s = time.monotonic()
            for part, read in source.parts():
                error = self._read(families, source.name, part, read)
                families.add('scrape_success', int(not error), source.name,
                             part)
                if error:
                    errors[source.name, part] = error
            families.add('scrape_duration_seconds',
                         time.monotonic() - started_s, source.name)
        self.errors = errors
        return families

    def _read(self, families: catalogue.Families, name: str, part: str,
              read: Part) -> str:
        """Read a part; return the error, if any, logged once."""
        try:
            read(families)
        except exception.MyDriverError as e:
            if self.errors.get((name, part)) != str(e):
                LOG.error('%s%s: %s', _prefix(name), part, e)
            return str(e)
        except Exception as e:  # the others are read all the same
            if self.errors.get((name, part)) != repr(e):
                LOG.exception('%s%s cannot be read', _prefix(name), part)
            return repr(e)
        return ''


def _prefix(name: str) -> str:
    """Return how a message about a source begins."""
    return f'Backend {name}: ' if name else ''

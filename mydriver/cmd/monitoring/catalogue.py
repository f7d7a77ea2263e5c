# SPDX-License-Identifier: Apache-2.0
"""The metrics: names, types, labels and what they mean.

Names follow https://prometheus.io/docs/practices/naming/. Labels are bounded
by the configuration, by the number of exports, and for operations by
:mod:`.tally`: no initiator is one.
"""

from collections.abc import Callable, Iterator, Sequence
import dataclasses
from typing import Literal, TypeVar, cast

from prometheus_client import core

_BACKEND = ('backend',)
_TARGET = ('backend', 'target')
_EXPORT = ('backend', 'volume_id')
_OPERATION = ('service', 'operation')


@dataclasses.dataclass(frozen=True, slots=True)
class Metric:
    """A metric.

    :param name: without the prefix and without ``_total``.
    :param text: what it is.
    :param labels: their names.
    :param kind: its type.
    """

    name: str
    text: str
    labels: tuple[str, ...] = _BACKEND
    kind: Literal['gauge', 'counter', 'histogram', 'summary'] = 'gauge'

    @property
    def exported_name(self) -> str:
        """Its name as Prometheus stores it."""
        return f'mydriver_{self.name}' + (
            '_total' if self.kind == 'counter' else '')


METRICS = (
    Metric('build_info', 'Always 1; the release is a label.', ('version',)),
    Metric('scrape_timestamp_seconds',
           'When these values were read, seconds since the epoch.', ()),
    Metric('scrape_duration_seconds', 'How long reading a backend took.'),
    Metric('scrape_success',
           'Whether a part of a backend could be read (1) or not (0); the '
           'metrics of a part that could not are absent.',
           ('backend', 'part')),
    Metric('rival_warnings',
           'Warnings of other services that could clear the exports.', ()),
    Metric('store_size_bytes', 'Size of the place of the store.'),
    Metric('store_free_bytes', 'How much can still be written to the store.'),
    Metric('store_provisioned_bytes',
           'Sum of the sizes of all volumes and snapshots.'),
    Metric('pool_working',
           'Whether the thin pool is active and accepts writes (1) or not '
           '(0).'),
    Metric('pool_data_size_bytes', 'Room for data of the thin pool.'),
    Metric('pool_data_used_bytes', 'Data of the thin pool in use.'),
    Metric('pool_metadata_size_bytes', 'Room for metadata of the thin pool.'),
    Metric('pool_metadata_used_bytes', 'Metadata of the thin pool in use.'),
    Metric('journal_present',
           'Whether the backend has a journal (1), or none yet (0).'),
    Metric('targets', 'Targets in the journal.'),
    Metric('exports', 'Exports in the journal.'),
    Metric('mappings', 'Mappings of exports to initiators in the journal.'),
    Metric('drift_objects',
           'Objects of the journal that the kernel lacks (with gateways: '
           'that no gateway serves as it should), by kind: targets, exports, '
           'mappings, and with gateways late for targets with changes that '
           'are still to be applied.', ('backend', 'kind')),
    Metric('gateways',
           'Gateways of the backend, by state: up, draining, gone.',
           ('backend', 'state')),
    Metric('sessions', 'Sessions of initiators at a target of this host.',
           _TARGET),
    Metric('logins', 'Successful logins at a target of this host.', _TARGET,
           'counter'),
    Metric('login_failures', 'Refused logins at a target of this host.',
           _TARGET, 'counter'),
    Metric('session_errors',
           'Failed sessions at a target of this host, by reason: digest, '
           'timeout, format.', (*_TARGET, 'reason'), 'counter'),
    Metric('export_commands', 'SCSI commands to an export of this host.',
           _EXPORT, 'counter'),
    Metric('export_read_bytes',
           'Data that initiators have read, in whole MiB.', _EXPORT,
           'counter'),
    Metric('export_written_bytes',
           'Data that initiators have written, in whole MiB.', _EXPORT,
           'counter'),
    Metric('export_inflight_requests',
           'Requests to the block device of an export that are not complete; '
           'absent for files.', _EXPORT),
    Metric('operations', 'Operations of driver and plugin that have ended, by '
           'outcome: ok, failed.', (*_OPERATION, 'outcome'), 'counter'),
    Metric('operation_failures',
           'Operations that have failed, by class of the error.',
           (*_OPERATION, 'error'), 'counter'),
    Metric('operation_duration_seconds',
           'How long operations took that succeeded.', _OPERATION,
           'histogram'),
    Metric('operation_phase_seconds', 'How long phases of operations took.',
           (*_OPERATION, 'phase'), 'summary'),
    Metric('event_log_gaps',
           'How often lines of a log were gone, or in an unknown format, when '
           'they were to be read; operations in them are not counted.',
           ('log',), 'counter'),
)

_BY_NAME = {m.name: m for m in METRICS}

_Family = TypeVar('_Family', bound=core.Metric)


class Families:
    """The values of one scrape.

    A metric without values is left out; absence is not zero.
    """

    def __init__(self) -> None:
        self._found: dict[str, core.Metric] = {}

    def add(self, name: str, value: float | None, *labels: str) -> None:
        """Add a value.

        :param name: of a metric in :data:`METRICS`.
        :param value: None adds nothing.
        :param labels: the values of its labels.
        """
        if value is None:
            return
        if _BY_NAME[name].kind == 'counter':
            self._of(name, core.CounterMetricFamily).add_metric(labels, value)
        else:
            self._of(name, core.GaugeMetricFamily).add_metric(labels, value)

    def add_histogram(self, name: str, buckets: Sequence[tuple[str, int]],
                      total: float, *labels: str) -> None:
        """Add a histogram.

        :param name: of a metric in :data:`METRICS`.
        :param buckets: upper bounds, and how many do not exceed them.
        :param total: the sum of all values.
        :param labels: the values of its labels.
        """
        self._of(name, core.HistogramMetricFamily).add_metric(
            labels, buckets, total)

    def add_summary(self, name: str, count: int, total: float, *labels: str
                    ) -> None:
        """Add a number of values, and their sum.

        :param name: of a metric in :data:`METRICS`.
        :param labels: the values of its labels.
        """
        self._of(name, core.SummaryMetricFamily).add_metric(
            labels, count, total)

    def _of(self, name: str, make: Callable[..., _Family]) -> _Family:
        """Return the family of a metric, which is made if necessary."""
        family = self._found.get(name)
        if family is None:
            metric = _BY_NAME[name]
            family = self._found[name] = make(
                f'mydriver_{name}', metric.text, labels=metric.labels)
        return cast(_Family, family)

    def __iter__(self) -> Iterator[core.Metric]:
        return (self._found[m.name] for m in METRICS
                if m.name in self._found)


def described() -> Sequence[core.Metric]:
    """Return all metrics without values."""
    return [core.Metric(f'mydriver_{m.name}', m.text, m.kind)
            for m in METRICS]

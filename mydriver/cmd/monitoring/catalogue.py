# SPDX-License-Identifier: Apache-2.0
"""The metrics: names, types, labels and what they mean.

Names follow https://prometheus.io/docs/practices/naming/. Labels are bounded
by the configuration, and by the number of exports: no initiator is one.
"""

from collections.abc import Iterator, Sequence
import dataclasses
from typing import Literal

from prometheus_client import core

_BACKEND = ('backend',)
_TARGET = ('backend', 'target')
_EXPORT = ('backend', 'volume_id')


@dataclasses.dataclass(frozen=True, slots=True)
class Metric:
    """A metric.

    :param name: without the prefix and without ``_total``.
    :param text: what it is.
    :param labels: their names.
    :param kind: ``gauge`` or ``counter``.
    """

    name: str
    text: str
    labels: tuple[str, ...] = _BACKEND
    kind: Literal['gauge', 'counter'] = 'gauge'

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
)

_BY_NAME = {m.name: m for m in METRICS}


class Families:
    """The values of one scrape.

    A metric without values is left out; absence is not zero.
    """

    def __init__(self) -> None:
        self._found: dict[
            str, core.CounterMetricFamily | core.GaugeMetricFamily] = {}

    def add(self, name: str, value: float | None, *labels: str) -> None:
        """Add a value.

        :param name: of a metric in :data:`METRICS`.
        :param value: None adds nothing.
        :param labels: the values of its labels.
        """
        if value is None:
            return
        metric = _BY_NAME[name]
        family = self._found.get(name)
        if family is None:
            make = (core.CounterMetricFamily if metric.kind == 'counter'
                    else core.GaugeMetricFamily)
            family = make(f'mydriver_{name}', metric.text,
                          labels=metric.labels)
            self._found[name] = family
        family.add_metric(labels, value)

    def __iter__(self) -> Iterator[core.Metric]:
        return (self._found[m.name] for m in METRICS
                if m.name in self._found)


def described() -> Sequence[core.Metric]:
    """Return all metrics without values."""
    return [core.Metric(f'mydriver_{m.name}', m.text, m.kind)
            for m in METRICS]

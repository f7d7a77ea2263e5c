# SPDX-License-Identifier: Apache-2.0
"""``mydriver session list``: who is logged in, and from where."""

from collections.abc import Iterator, Sequence
from typing import Any

from oslo_log import log as logging

from mydriver.cmd import backends, journals, listing, tables
from mydriver.target import statistics

LOG = logging.getLogger(__name__)


class List(listing.Listing):
    """List the initiators that are logged in at this host's targets.

    The kernel shows the newest session of an initiator at a target, and does
    not say since when it exists; with multipath there are more. A warning says
    how many are not shown. The queue is how many commands of the session the
    target has not answered yet. Commands and bytes are those of all LUNs of
    the initiator at the target, in whole MiB, since each was mapped.
    """

    COLUMNS = ('Backend', 'Target', 'Initiator', 'Alias', 'From', 'State',
               'LUNs', 'Queue', 'Commands', 'Read bytes', 'Written bytes',
               'Session', 'ISID')
    NARROW = ('Target', 'Initiator', 'LUNs', 'Queue', 'Read', 'Written',
              'From')
    NARROWEST = {'Target': 8, 'Initiator': 13, 'From': 15}

    def rows(self, backend: backends.Backend) -> Iterator[Sequence[Any]]:
        """Yield the sessions at the targets of a backend."""
        with journals.reading(backend, 'sessions') as journal:
            targets = sorted(journal.targets())
        here = [t for t in targets if statistics.HOST.is_here(t)]
        if targets and not here:
            LOG.warning('Backend %s: this host has none of its targets%s',
                        backend.name, '; see mydriver gateway list'
                        if backend.has_gateways else '. Run mydriver restore')
        for target in here:
            count = 0
            for seen in statistics.HOST.sessions(target):
                count += 1
                yield (backend.name, seen.target, tables.safe(seen.initiator),
                       tables.safe(seen.session.alias),
                       tables.safe(','.join(seen.session.addresses)),
                       tables.safe(seen.session.state), seen.luns,
                       seen.session.queue, seen.io.commands,
                       seen.io.read_bytes, seen.io.written_bytes,
                       seen.session.sid, seen.session.isid)
            total = statistics.HOST.logins(target).sessions
            if total is not None and total > count:
                LOG.warning('Target %s has %d sessions; the kernel shows %d '
                            'of them, one for each initiator', target, total,
                            count)

    def narrow(self, row: Sequence[Any]) -> Sequence[Any]:
        """Return a row of the narrow table."""
        of = dict(zip(self.COLUMNS, row, strict=True))
        return (tables.short_target(of['Target'], of['Backend']),
                tables.short_name(of['Initiator']), of['LUNs'], of['Queue'],
                tables.size(of['Read bytes']),
                tables.size(of['Written bytes']), of['From'])

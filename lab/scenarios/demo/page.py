# SPDX-License-Identifier: Apache-2.0
"""A page about one attach, from the logs of the cloud's services."""

from collections.abc import Sequence
import contextlib
from pathlib import Path

from lab import paths
from lab.scenario.expect import NotProven
from mydriver.cmd import trace as writing
from mydriver.trace import logs, render_text, safe, search, trace

#: The page of the last demo's first attach.
PAGE = paths.STATE / 'demo-attach.html'

_SHARES = 4


def write(its_logs: Sequence[Path], server_id: str, page: Path = PAGE) -> str:
    """Trace a server's attach and write its page.

    :param its_logs: of all services.
    :param server_id: of a server with one attach.
    :returns: the path of the page, and where the time went.
    :raises NotProven: if the logs do not show the attach.
    """
    found_logs = logs.Logs([str(log) for log in its_logs])
    with contextlib.closing(found_logs):
        found = trace.of(found_logs, server_id, search.ATTACH)
    writing.write_page(found, page)
    if found.cause is not None:
        raise NotProven(f'{page}: ' + ' '.join(
            render_text.explained(found.cause)))
    parts = ', '.join(
        f'{render_text.shown_share(s)} {safe.duration(s.seconds)}'
        for s in found.shares[:_SHARES])
    return (f'{page}: {safe.duration(found.end - found.start)}, most of it '
            f'{parts}')

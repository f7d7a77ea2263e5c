# SPDX-License-Identifier: Apache-2.0
"""A page about one attach, from the logs of the cloud's services."""

from collections.abc import Sequence
import contextlib
from pathlib import Path

from lab.scenario.expect import NotProven, expect
from mydriver.cmd import trace as writing
from mydriver.trace import (
    cause,
    logs,
    render_text,
    safe,
    search,
    steps,
    trace,
)

_SHARES = 4


def write(its_logs: Sequence[Path], subject: str, page: Path) -> str:
    """Trace an attach that has to have succeeded, and write its page.

    :param its_logs: of all services.
    :param subject: a server or volume with one attach.
    :returns: the path of the page, and where the time went.
    :raises NotProven: if the logs do not show the attach, or one that failed
        or did not end.
    """
    found = _traced(its_logs, subject, page)
    if found.cause is not None:
        raise NotProven(f'{page}: ' + _explained(found.cause))
    expect(found.outcome == steps.OK,
           f'{page}: {render_text.headline(found)}')
    parts = ', '.join(
        f'{render_text.shown_share(s)} {safe.duration(s.seconds)}'
        for s in found.shares[:_SHARES])
    return (f'{page}: {safe.duration(found.end - found.start)}, most of it '
            f'{parts}')


def write_failed(its_logs: Sequence[Path], subject: str, page: Path,
                 source: str, *words: str) -> str:
    """Trace an attach that has to have failed, and write its page.

    :param its_logs: of all services.
    :param subject: a server or volume; its last attach is meant.
    :param source: the log that has to show the first cause.
    :param words: what the first cause has to say.
    :returns: the path of the page, and the first cause.
    :raises NotProven: if the page names another cause, or none.
    """
    found = _traced(its_logs, subject, page)
    if found.cause is None:
        raise NotProven(f'{page}: no failure is seen')
    explained = _explained(found.cause)
    expect(found.cause.source == source
           and all(word in explained for word in words),
           f'{page}: the first cause is not in {source}, or does not say '
           f'{words}: {found.cause.source}: {explained}')
    return f'{page}: {safe.duration(found.end - found.start)}; {explained}'


def _traced(its_logs: Sequence[Path], subject: str, page: Path
            ) -> trace.Trace:
    found_logs = logs.Logs([str(log) for log in its_logs])
    with contextlib.closing(found_logs):
        found = trace.of(found_logs, subject, search.ATTACH)
    writing.write_page(found, page)
    return found


def _explained(found: cause.Cause) -> str:
    return ' '.join(render_text.explained(found))

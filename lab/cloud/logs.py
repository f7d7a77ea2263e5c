# SPDX-License-Identifier: Apache-2.0
"""``lab cloud logs``."""

import os
import sys

from lab import process
from lab.cloud import errors, settings


def show(layout: settings.Layout, service: str | None, lines: int,
         follow: bool) -> int:
    """List the logs, or print the end of one.

    :param service: whose log to print; None lists them.
    :param follow: keep printing as the log grows, until interrupted.
    :raises CloudError: when there is no such log.
    """
    names = sorted(p.stem for p in layout.logs.glob('*.log'))
    if service is None:
        for name in names:
            path = layout.log(name)
            print(f'{name:24} {path.stat().st_size:>10} {path}')
        return 0
    if service not in names:
        raise errors.CloudError(
            f'{service!r} has no log; logs: {", ".join(names) or "none"}')
    if follow:
        sys.stdout.flush()
        os.execvp('tail', ['tail', '-n', str(lines), '-F',
                           str(layout.log(service))])
    print(process.tail(layout.log(service), lines))
    return 0

# SPDX-License-Identifier: Apache-2.0
"""The journal of a backend, opened to look at, wherever it is."""

import contextlib

from mydriver.cmd import backends, gateways
from mydriver.target.journal import base, sqlite


def reading(backend: backends.Backend, who: str
            ) -> contextlib.AbstractContextManager[base.Journal]:
    """Return a context with the journal of a backend, which is not changed.

    :param who: names the run that reads it.
    :raises MyDriverError: when it cannot be read.
    """
    if backend.has_gateways:
        return gateways.journal(backend)
    return contextlib.closing(sqlite.SqliteJournal(
        backend.journal_path, who, read_only=True))

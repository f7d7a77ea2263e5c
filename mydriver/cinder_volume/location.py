# SPDX-License-Identifier: Apache-2.0
"""Where a backend keeps its volumes, as the scheduler passes it on.

Nothing here imports cinder.
"""

import dataclasses


@dataclasses.dataclass(frozen=True, slots=True)
class Place:
    """The value of the capability ``location_info``, ``KIND:HOST:PATH``.

    :param kind: name of the driver.
    :param host: name of its host.
    :param path: the store's location on that host.
    """

    kind: str
    host: str
    path: str

    @classmethod
    def parse(cls, text: object) -> 'Place | None':
        """Read ``KIND:HOST:PATH``; return None for anything else."""
        fields = text.split(':', 2) if isinstance(text, str) else ()
        return cls(*fields) if len(fields) == 3 else None

    def __str__(self) -> str:
        return f'{self.kind}:{self.host}:{self.path}'

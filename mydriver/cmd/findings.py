# SPDX-License-Identifier: Apache-2.0
"""What checks have found."""

import dataclasses


@dataclasses.dataclass(frozen=True, slots=True)
class Finding:
    """The state of one part of a backend.

    :param part: ``store``, ``extents``, ``host``, ``gateways``, ``targets``,
        ``exports``, ``mappings``, ``initiators``.
    :param ok: the part works.
    :param detail: figures, or the problem and its remedy.
    :param warning: the part works, but needs attention.
    """

    part: str
    ok: bool
    detail: str
    warning: bool = False

    @property
    def state(self) -> str:
        """``ok``, ``warning`` or ``wrong``."""
        if not self.ok:
            return 'wrong'
        return 'warning' if self.warning else 'ok'

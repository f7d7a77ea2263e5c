# SPDX-License-Identifier: Apache-2.0
"""An export made by hand beside the driver's, which must stay as it is."""

from lab.cloud import driver
from lab.scenario.expect import expect
from lab.scenarios.verify import inside, look


class Stranger:
    """The export made by hand.

    :param looker: makes it, and looks at it.
    """

    def __init__(self, looker: look.Looker) -> None:
        self._look = looker
        #: Its objects; empty while it does not exist.
        self._objects: dict[str, str] = {}

    def make(self) -> str:
        """Make it and note its objects."""
        self._look.inside('storage', 'stranger-make', driver.DISK)
        self._objects = self._seen()
        expect(len(self._objects) > 50, 'the export by hand is not there')
        return f'{inside.STRANGER}: {len(self._objects)} objects noted'

    def unchanged(self) -> str:
        """Check that it is as it was.

        :raises NotProven: when it is not.
        """
        now = self._seen()
        changed = {k for k in now.keys() | self._objects
                   if now.get(k) != self._objects.get(k)}
        expect(not changed, f'the export by hand has changed: {changed}')
        return 'the export by hand is unchanged'

    def drop(self) -> None:
        """Remove it, if it exists."""
        if self._objects:
            self._look.inside('storage', 'stranger-drop', driver.DISK)
            self._objects = {}

    def check_and_drop(self) -> str:
        """Check it a last time and remove it, unless it is gone."""
        if not self._objects:
            return 'it was unchanged until the reboot'
        proof = self.unchanged()
        self.drop()
        return proof

    def _seen(self) -> dict[str, str]:
        return self._look.configfs('stranger')

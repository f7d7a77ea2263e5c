# SPDX-License-Identifier: Apache-2.0
"""Who owns which target: in Ceph, and in the gateways' kernels."""

from collections.abc import Mapping
import dataclasses
import json
from typing import Any

from lab import process
from lab.cloud import api, driver, settings
from lab.scenario import observe

#: For a gateway to come back, and for targets to be shared out again, seconds.
_BACK_S = 150


@dataclasses.dataclass(frozen=True)
class Held:
    """What the kernel of a gateway has.

    :param targets: those with exports.
    :param addresses: floating ones.
    :param images: mapped images of volumes.
    :param clients: mapped images in all, with those that only keep a client.
    """

    targets: tuple[str, ...]
    addresses: tuple[str, ...]
    images: tuple[str, ...]
    clients: int


class Owners:
    """The gateways of the cloud's first backend.

    :param cloud: the cloud that is up.
    :param observer: of its nodes.
    """

    def __init__(self, cloud: api.Cloud, observer: observe.Observer) -> None:
        self._cloud = cloud
        self._observer = observer
        self._ceph = cloud.ceph()

    def all(self) -> dict[str, str]:
        """Return the owner of each target, as Ceph has it; '' for none."""
        return {target: its['owner'] or ''
                for target, its in self._records().items()}

    def _records(self) -> dict[str, dict[str, Any]]:
        found = self._ceph.omaps(driver.CEPH_BACKEND_POOLS[driver.BACKEND],
                                 driver.NAMESPACE, driver.OWNER)
        return {name.removeprefix(driver.OWNER): json.loads(values['record'])
                for name, values in found.items()}

    def record(self, target: str) -> tuple[str, int]:
        """Return the owner of a target, '' for none, and its epoch."""
        its = self._records()[target]
        return its['owner'] or '', its['epoch']

    def wait_shared(self) -> str:
        """Wait until each gateway serves as many targets as the others.

        :returns: who serves what, for people.
        """
        names = self._cloud.options.gateway_nodes

        def shared() -> dict[str, str] | None:
            found = self.all()
            load = [list(found.values()).count(name) for name in names]
            return found if (found and all(found.values())
                             and max(load) - min(load) <= 1) else None

        found = process.wait_for(
            shared, 'the targets to be shared out', _BACK_S, poll_s=0.3,
            details=lambda: str(self.all()))
        return ', '.join(f'{name}: {_numbers(found, name)}'
                         for name in names)

    def wait_clean(self) -> str:
        """Wait until each kernel has what its gateway owns, and no more.

        :returns: what that is, for people.
        """
        left: dict[str, str] = {}

        def is_clean() -> bool:
            left.clear()
            left.update(self.left_over())
            return not left

        process.wait_for(is_clean, 'the gateways to clean up', _BACK_S,
                         poll_s=1.0, details=lambda: str(left))
        return 'nothing left over'

    def left_over(self) -> dict[str, str]:
        """Return what kernels have of targets that others own, by gateway."""
        owners = self.all()
        left = {}
        for name in self._cloud.options.gateway_nodes:
            held = self.held(name)
            mine = [t for t, owner in owners.items() if owner == name]
            if (set(held.targets) - set(mine)
                    or len(held.addresses) != len(mine)
                    or held.clients - len(held.images) != len(mine)
                    or (held.images and not held.targets)):
                left[name] = f'owns {mine}, has {held}'
        return left

    def held(self, name: str) -> Held:
        """Return what a gateway's kernel has."""
        kernel = self._observer.probe(name, 'target')
        links: list[dict[str, Any]] = json.loads(
            self._observer.run(name, 'ip', '-j', 'addr'))
        found = {a['local'] for link in links for a in link['addr_info']}
        images = kernel['mapped images']
        return Held(
            tuple(t for t, its in kernel['targets'].items() if its['luns']),
            tuple(sorted(found & {f'{settings.SUBNETS[0]}.{octet}' for octet in
                                  driver.FLOATING[driver.BACKEND]})),
            tuple(i for i in images if '/volume-' in i), len(images))


def _numbers(owners: Mapping[str, str], name: str) -> str:
    return '+'.join(t.rpartition('-')[2] for t, owner in owners.items()
                    if owner == name) or 'none'

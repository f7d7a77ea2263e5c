# SPDX-License-Identifier: Apache-2.0
"""What runs beside the node of ``lab kernel run``, and its removal."""

from collections.abc import Sequence
from pathlib import Path
import shutil

from lab import netns, process
from lab.ceph import cluster

#: Addresses of Ceph and of the node, in a network namespace of their own.
CEPH_ADDRESS, NODE_ADDRESS = '10.78.0.1', '10.78.0.11'

_BRIDGE, _TAP = 'br0', 'tap-node'


def _namespace(folder: Path) -> str:
    """Return the network namespace of a run; it need not exist."""
    return f'lab-{folder.name}'


class Ceph:
    """A new Ceph for one run, in a network namespace with the node's tap.

    Its configuration and keys exist as soon as it is constructed, so that the
    node can boot while :meth:`up` starts it.

    :param folder: the run's directory.
    :raises LabError: when a program is missing or the namespace cannot be
        made.
    """

    def __init__(self, folder: Path) -> None:
        cluster.check()
        self._folder = folder
        self.namespace = _namespace(folder)
        self.tap = _TAP
        self._cluster = cluster.Cluster(folder / 'ceph', CEPH_ADDRESS)
        self._cluster.prepare()
        netns.create(self.namespace)
        netns.add_bridge(self.namespace, _BRIDGE, CEPH_ADDRESS)
        netns.add_tap(self.namespace, _TAP, _BRIDGE)

    def up(self) -> None:
        """Start it and wait until it serves."""
        with netns.inside(self.namespace):
            self._cluster.up(self._spawn)

    def payload(self) -> dict[str, str]:
        """Return the variables of the node's payload."""
        return {'RUN_CEPH': str(self._cluster.client_files),
                'RUN_ADDRESS': f'{NODE_ADDRESS}/24'}

    @staticmethod
    def variables() -> dict[str, str]:
        """Return the variables of the command."""
        return {'CEPH_CONF': '/etc/ceph/ceph.conf'}

    def _spawn(self, name: str,
               argv: Sequence[str | Path]) -> process.Process:
        started = process.spawn(
            name, ['setpriv', '--pdeathsig', 'KILL', *argv],
            self._folder / f'{name}.log')
        started.save(self._folder / f'{name}.json')
        return started


def remove(folder: Path) -> None:
    """End all that a run has started, and remove its files.

    :param folder: the run's directory.
    """
    for record in folder.glob('*.json'):
        started = process.Process.load(record)
        if started:
            started.end(grace_s=0)
    netns.delete(_namespace(folder))
    shutil.rmtree(folder, ignore_errors=True)

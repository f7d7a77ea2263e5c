# SPDX-License-Identifier: Apache-2.0
"""Look deeper into the nodes than an observer does."""

import base64
from concurrent import futures
import configparser
import json
from pathlib import Path
import subprocess
from typing import Any

from lab import errors, paths
from lab.cloud import api, driver, settings
from lab.cloud.node import kinds
from lab.scenario import observe
from mydriver import model
from mydriver.target import chap

_INSIDE = Path(__file__).with_name('inside.py')



class Looker:
    """Reads configfs, secrets, logs, arguments and databases.

    :param cloud: the cloud that is up.
    """

    def __init__(self, cloud: api.Cloud) -> None:
        self._cloud = cloud
        self._observer = observe.Observer(cloud)

    def inside(self, node: str, *args: str, timeout_s: int = 300) -> Any:
        """Run inside.py on a node; return its output, parsed."""
        return json.loads(self.run(
            node, str(paths.VENV / 'bin/python'), '-W', 'ignore',
            str(_INSIDE), *args, timeout_s=timeout_s))

    def run(self, node: str, *argv: str, timeout_s: int = 300) -> str:
        """Run a command that must succeed; return its output."""
        status, output = self._cloud.node_exec(node, argv,
                                               timeout_s=timeout_s)
        if status:
            raise errors.LabError(f'{" ".join(argv)} on {node}: status '
                                  f'{status}\n{output}')
        return output

    def configfs(self, *prefixes: str) -> dict[str, str]:
        """Return the checksums of the target's configfs."""
        found: dict[str, str] = self.inside('storage', 'configfs', *prefixes)
        return found

    def secrets(self) -> dict[str, str]:
        """Return the CHAP secrets for the compute node at every target.

        :returns: label -> secret.
        """
        key = chap.ChapKey(base64.b64decode(self.run(
            'storage', 'base64', driver.CHAP_KEY)))
        initiator = model.Iqn(kinds.INITIATORS['compute'])
        found = {}
        for row in self._observer.journal():
            if row.startswith('target: '):
                iqn = row.split("'")[1]
                c = key.credentials(initiator, model.Iqn(iqn), True)
                found[f'initiator at {iqn}'] = c.password
                found[f'{iqn} itself'] = str(c.mutual_password)
        return found

    def ceph_keys(self) -> dict[str, str]:
        """Return the keys of Ceph's users; none if the cloud has no Ceph.

        :returns: user -> key.
        """
        if not self._cloud.options.ceph:
            return {}
        found = configparser.ConfigParser()
        found.read(settings.Layout().ceph / 'keyring')
        return {user: found[user]['key'] for user in found.sections()}

    def mappings(self) -> str:
        """Return the options of the storage node's RBD mappings."""
        return self.run('storage', 'bash', '-c', 'shopt -s nullglob; '
                        'cat /dev/null /sys/bus/rbd/devices/*/config_info')

    def arguments_during(self, act: Any, seconds: int) -> dict[str, str]:
        """Return all command lines seen on both nodes during an action.

        :param act: the action.
        :param seconds: how long to watch.
        :returns: node -> command lines.
        """
        names = ('storage', 'compute')
        with futures.ThreadPoolExecutor(len(names)) as pool:
            watched = {n: pool.submit(self.inside, n, 'arguments',
                                      str(seconds)) for n in names}
            act()
            return {n: '\n'.join(w.result()) for n, w in watched.items()}

    def databases(self) -> dict[str, bytes]:
        """Return MariaDB's files."""
        folder = settings.Layout().mysql
        return {str(p.relative_to(folder)): p.read_bytes()
                for p in sorted(folder.rglob('*'))
                if p.is_file() and p.stat().st_size < 1 << 28}

    def host_arguments(self) -> str:
        """Return the command lines on this machine."""
        return subprocess.run(['ps', '-eo', 'args'], check=True, text=True,
                              capture_output=True).stdout

    def records(self) -> dict[str, str]:
        """Return open-iscsi's node records on the compute node."""
        listing = self.run(
            'compute', 'bash', '-c', 'find /etc/iscsi /var/lib/nova/system/'
            'etc/iscsi -type f -path "*nodes*" -exec stat -c "%a %n" {} + '
            '2>/dev/null || true')
        found = {}
        for line in listing.splitlines():
            mode, _, name = line.partition(' ')
            found[f'{name} ({mode})'] = self.run('compute', 'cat', name)
        return found

    def logs(self) -> dict[str, str]:
        """Return every log of the cloud."""
        return {p.name: Path(p).read_text(errors='replace')
                for p in self._cloud.logs()}



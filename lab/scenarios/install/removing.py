# SPDX-License-Identifier: Apache-2.0
"""Remove the driver from a host by what the installation page says."""

from lab.scenarios.install import documents, host, installing, roots

#: What the host's own software, or its operator, changes while it runs. pip
#: leaves empty directories; stevedore's cache is that of all commands of
#: OpenStack.
_EVERYWHERE = (installing.KEPT, '/root/.cache', '/var/lib/systemd')
#: The page says that the store and the state remain; LVM keeps records of
#: volume groups; nova, libvirt and multipathd have guests and disks. iscsiadm
#: and os-brick make a directory when they are first used, which is empty, and
#: the operator has enabled iscsid.
_ELSEWHERE = {
    roots.STORAGE.name: ('/srv/mydriver', '/var/lib/cinder',
                         '/etc/lvm/archive', '/etc/lvm/backup'),
    roots.COMPUTE.name: ('/var/lib/nova', '/var/lib/libvirt',
                         '/etc/libvirt/qemu', '/etc/multipath/bindings',
                         '/etc/multipath/wwids',
                         '/etc/iscsi/nodes/', '/etc/nvme/',
                         '/etc/rcS.d/K01iscsid', '/etc/rcS.d/S01iscsid',
                         '/etc/systemd/system/iscsi.service',
                         '/etc/systemd/system/sysinit.target.wants'),
}
OWN = {kind.name: (*_EVERYWHERE, f'{kind.venv}/share',
                   *_ELSEWHERE[kind.name]) for kind in roots.KINDS}


class Remover:
    """Types what the installation page says on one host.

    :param machine: the host.
    :param page: text of the installation page.
    :param store: of the backend.
    """

    def __init__(self, machine: host.Host, page: str, store: str) -> None:
        self._machine = machine
        self._page = page
        self._store = store

    def remove(self) -> str:
        """Take the backend out, then remove the driver."""
        machine = self._machine
        machine.ask(f'systemctl stop {machine.kind.unit}')
        for path in installing.EDITED[machine.kind.name]:
            machine.ask(f'rm -r {path} && cp -a {installing.KEPT}{path} '
                        f'{path}')
        before = len(machine.typed)
        for line in documents.page(self._page, _SENTENCES[machine.kind.name]):
            machine.type(line)
        return f'{len(machine.typed) - before} commands'


_SENTENCES = {
    roots.STORAGE.name: 'stop it if it was the only one. Then::',
    roots.COMPUTE.name: 'restart nova-compute. Then::',
}

# SPDX-License-Identifier: Apache-2.0
"""libvirt and QEMU in a node, for disks that QEMU reaches over Ceph.

There is no guest system: QEMU itself reads and writes its disks (``qemu-io``
of its monitor), and a disk at virtio-scsi is unplugged without a guest's help.
"""

from collections.abc import Mapping
import json
from pathlib import Path
import re
import shutil
from typing import Any
import uuid

import libvirt

from lab import process
from tests.functional import base

NAME = 'guest'
#: Where the tests that use it write.
AREA_BYTES = 4 << 20

_LOG = Path(f'/var/log/libvirt/qemu/{NAME}.log')
#: The last line that qemu-io prints of an operation.
_DONE = re.compile(r'ops/sec\)|(?:read|write) failed: .*\n')

_DOMAIN = f"""
<domain type='qemu'>
  <name>{NAME}</name>
  <memory unit='MiB'>64</memory>
  <vcpu>1</vcpu>
  <os><type arch='x86_64' machine='pc'>hvm</type></os>
  <features><acpi/></features>
  <devices>
    <emulator>/usr/bin/qemu-system-x86_64</emulator>
    <controller type='scsi' index='0' model='virtio-scsi'/>
  </devices>
</domain>
"""

# A node has no AppArmor and no cgroup v1, and QEMU runs as its root.
_QEMU_CONF = """
security_driver = "none"
cgroup_controllers = []
namespaces = []
user = "root"
group = "root"
remember_owner = 0
"""

# libvirt and all that it starts see no file of Ceph: neither ceph.conf nor a
# keyring is needed on a compute host.
_START = """
mount -t tmpfs none /etc/ceph
virtlogd -d && libvirtd -d
"""


def start_libvirt() -> None:
    """Start libvirt's daemons, for the life of the node."""
    cgroup = Path('/sys/fs/cgroup')
    if not (cgroup / 'cgroup.procs').exists():
        cgroup.mkdir(exist_ok=True)
        base.run('mount', '-t', 'cgroup2', 'cgroup2', cgroup)
    Path('/var/log/libvirt/qemu').mkdir(parents=True, exist_ok=True)
    Path('/etc/libvirt/qemu.conf').write_text(_QEMU_CONF)
    Path('/etc/libvirt/libvirtd.conf').write_text(
        f'host_uuid = "{uuid.uuid4()}"\nauth_unix_rw = "none"\n'
        'keepalive_interval = -1\n')
    shutil.rmtree('/etc/libvirt/qemu/networks/autostart', ignore_errors=True)
    base.run('unshare', '--mount', 'sh', '-ec', _START)
    process.wait_for(Path('/run/libvirt/libvirt-sock').exists,
                     'libvirtd to listen', 60)


def define_secret(its_uuid: str, key: str) -> None:
    """Give libvirt the key of a Ceph client, as an operator does.

    :param key: base64, as Ceph has it.
    """
    secret = Path('/run/secret.xml')
    secret.write_text(
        "<secret ephemeral='yes' private='yes'>"
        f"<uuid>{its_uuid}</uuid><usage type='ceph'>"
        '<name>client.cinder secret</name></usage></secret>')
    base.run('virsh', 'secret-define', secret)
    value = Path('/run/secret')
    value.write_text(key)
    base.run('virsh', 'secret-set-value', its_uuid, '--file', value)
    value.unlink()


def disk(data: Mapping[str, Any]) -> str:
    """Return the disk that ``connection_info['data']`` stands for.

    It is what Nova makes of it (nova/virt/libvirt/volume/net.py).
    """
    monitors = ''.join(
        f"<host name='{host}' port='{port}'/>"
        for host, port in zip(data['hosts'], data['ports'], strict=True))
    return (
        "<disk type='network' device='disk'>"
        "<driver name='qemu' type='raw' cache='none' discard='unmap'/>"
        f"<source protocol='rbd' name='{data['name']}'>{monitors}</source>"
        f"<auth username='{data['auth_username']}'>"
        f"<secret type='ceph' uuid='{data['secret_uuid']}'/></auth>"
        "<target dev='sda' bus='scsi'/>"
        f"<serial>{data['volume_id']}</serial></disk>")


def _log() -> str:
    """Return what QEMU has printed."""
    return _LOG.read_text(errors='replace')


class Guest:
    """A virtual machine without a system.

    :param connection: to libvirt.
    """

    def __init__(self, connection: Any) -> None:
        self._domain = connection.createXML(_DOMAIN)

    def end(self) -> None:
        """Switch it off."""
        self._domain.destroy()

    def attach(self, disk: str) -> None:
        """Plug a disk in."""
        self._domain.attachDeviceFlags(disk, libvirt.VIR_DOMAIN_AFFECT_LIVE)

    def detach(self, disk: str) -> None:
        """Unplug a disk, and wait until it is gone; fine when it is."""
        if not self.devices():
            return
        self._domain.detachDeviceFlags(disk, libvirt.VIR_DOMAIN_AFFECT_LIVE)
        process.wait_for(lambda: not self.devices(), 'the disk to go', 60)

    def resize(self, size_bytes: int) -> None:
        """Tell QEMU the new size of its only disk, as Nova does."""
        self._domain.blockResize('sda', size_bytes,
                                 libvirt.VIR_DOMAIN_BLOCK_RESIZE_BYTES)

    def devices(self) -> dict[str, int]:
        """Return the disks that QEMU has, with their sizes."""
        answer = json.loads(self._monitor('{"execute": "query-block"}'))
        return {d['qdev']: d['inserted']['image']['virtual-size']
                for d in answer['return'] if 'inserted' in d}

    def write(self, pattern: int, offset: int = 0) -> None:
        """Fill an area of its only disk with a byte, and flush."""
        said = self._io(f'write -f -P {pattern} {offset} {AREA_BYTES}')
        if 'wrote' not in said:
            raise AssertionError(said)

    def reads(self, pattern: int, offset: int = 0) -> bool:
        """Tell whether an area of its only disk is filled with a byte."""
        said = self._io(f'read -P {pattern} {offset} {AREA_BYTES}')
        if 'read failed' in said:
            raise AssertionError(said)
        return 'verification failed' not in said

    def refusal(self) -> str:
        """Return what QEMU says of a write that it does not do."""
        return self._io(f'write -P 1 0 {AREA_BYTES}')

    @staticmethod
    def arguments() -> str:
        """Return the arguments of QEMU, and its log."""
        texts = [b'\0'.join(argv).decode(errors='replace')
                 for _, argv in base.command_lines()]
        return '\n'.join([t for t in texts if 'qemu-system' in t] + [
            _log()])

    def _io(self, command: str) -> str:
        """Let QEMU do I/O on its only disk; return what it prints."""
        device, = self.devices()
        before = len(_log())
        answer = json.loads(self._monitor(json.dumps({
            'execute': 'human-monitor-command', 'arguments': {
                'command-line': f'qemu-io -d {device} "{command}"'}})))
        # It prints the result to its standard output, errors here.
        if answer['return']:
            return str(answer['return'])
        return process.wait_for(
            lambda: _DONE.search(_log()[before:]) and _log()[before:],
            f'QEMU to do {command}', 60)

    def _monitor(self, command: str) -> str:
        return base.run('virsh', 'qemu-monitor-command', NAME, command)

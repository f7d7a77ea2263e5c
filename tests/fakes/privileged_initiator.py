# SPDX-License-Identifier: Apache-2.0
"""A compute host for the privileged verbs: a sysfs and programs of ours.

The programs are shell scripts in ``PATH``: what they are given, and what they
find in the node records, is what the tests look at.
"""

import os
from pathlib import Path
import tempfile
import unittest
from unittest import mock

from mydriver import model, privileged
from mydriver.privileged.initiator import inquiry, node_record, usage
from tests.fakes.initiator import VOLUME, page83

STRANGER = 'iqn.2003-01.org.example:stranger'
TARGET = 'iqn.2010-10.org.openstack:mydriver-host-be-0'
NAA = model.naa_id(VOLUME)
HCTL = [3, 0, 0, 300]
CHAP = ['user', 'secretsecret1', 'target', 'mutualmutual1']

# Makes and deletes records as open-iscsi does; logs in as FAIL says.
ISCSIADM = '''#!/bin/sh
echo "$*" >> "$HERE/calls"
record="$HERE/iscsi/nodes/$4/192.0.2.1,3260"
case "$*" in
*"-o new") mkdir -p "${record%/*}"
    [ ! -e "$HERE/full" ] || { : > "$record"; exit "$(cat "$HERE/full")"; }
    printf '%s\\n' '# BEGIN' 'node.startup = automatic' '# END RECORD' > "$record";;
*"-o delete") [ -s "$record" ] || exit 6; [ ! -e "$HERE/stuck" ] || exit 15; [ ! -e "$HERE/busy" ] || { rm "$HERE/busy"; exit 6; }
    rm "$record" && rmdir "${record%/*}";;
*--login) cp "$record" "$HERE/seen"; cat "$HERE/say" >&2; exit "$(cat "$HERE/status")";;
*--logout) rm -r "$HERE/sys/class/iscsi_session/session$4";;
esac
'''  # noqa: E501

# multipath -f removes the map, unless it is open.
MULTIPATH = '''#!/bin/sh
echo "$(basename "$0") $*" >> "$HERE/calls"
case "$*" in
-f*) [ -e "$HERE/busy" ] && { echo 'map in use' >&2; exit 1; }
    rm -r "$HERE/sys/block/dm-7";;
resize*) cat "$HERE/say";;
esac
'''


class PrivilegedTestCase(unittest.TestCase):
    """Verbs, called as the daemon calls them."""

    def setUp(self) -> None:
        super().setUp()
        self.folder = Path(self.enterContext(tempfile.TemporaryDirectory()))
        self.sys = self.folder / 'sys'
        self.calls = self.folder / 'calls'
        self.calls.touch()
        for name, text in (('iscsiadm', ISCSIADM), ('multipath', MULTIPATH),
                           ('multipathd', MULTIPATH)):
            program = self.folder / name
            program.write_text(text)
            program.chmod(0o755)
        self.say('', 0)
        self.enterContext(mock.patch.dict(os.environ, {
            'PATH': f'{self.folder}:{os.environ["PATH"]}',
            'HERE': str(self.folder)}))
        self.enterContext(mock.patch.object(inquiry, 'SYS', self.sys))
        self.enterContext(mock.patch.object(
            node_record, 'NODES_DIRS', (self.folder / 'iscsi/nodes',)))
        privileged.initiator_context.set_client_mode(False)
        self.addCleanup(privileged.initiator_context.set_client_mode, True)

    def say(self, text: str, status: int = 0) -> None:
        """Set what iscsiadm prints, and its exit status."""
        (self.folder / 'say').write_text(text)
        (self.folder / 'status').write_text(str(status))

    def write(self, path: str | Path, value: str | bytes) -> Path:
        """Write a file of the sysfs."""
        file = self.sys / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(value if isinstance(value, bytes)
                         else value.encode())
        return file

    def session(self, target: str = TARGET, host: int = 3) -> Path:
        """Make a session whose number is the host's and two."""
        session = f'class/iscsi_session/session{host + 2}'
        self.write(f'{session}/targetname', target + '\n')
        self.write(f'{session}/target_id', '0\n')
        real = self.sys / f'devices/platform/host{host}/session{host + 2}'
        real.mkdir(parents=True)
        (self.sys / session / 'device').symlink_to(real)
        return real

    def device(self, naa: str = NAA, target: str = TARGET, host: int = 3,
               name: str = 'sda') -> Path:
        """Make a disk on a session of its own."""
        hctl = f'{host}:0:0:300'
        folder = self.session(target, host) / f'target{host}:0:0' / hctl
        self.write(folder / 'vpd_pg83', page83(naa))
        for attribute in ('delete', 'rescan'):
            self.write(folder / attribute, '')
        block = folder / 'block' / name
        (block / 'holders').mkdir(parents=True)
        self.write(block / 'dev', f'8:{ord(name[-1]) - ord("a")}\n')
        for link, to in ((f'class/block/{name}', block),
                         (f'bus/scsi/devices/{hctl}', folder)):
            (self.sys / link).parent.mkdir(parents=True, exist_ok=True)
            (self.sys / link).symlink_to(to)
        (block / 'device').symlink_to(folder)
        return folder

    def use(self, mounts: str = '', swaps: str = '') -> None:
        """Make a procfs with mounts and swap space."""
        (self.folder / 'proc/self').mkdir(parents=True)
        (self.folder / 'proc/self/mountinfo').write_text(mounts)
        (self.folder / 'proc/swaps').write_text('Filename\n' + swaps)
        self.enterContext(mock.patch.object(
            usage, 'PROC', self.folder / 'proc'))

    def map(self, naa: str = NAA) -> None:
        """Make the multipath map of a volume."""
        self.write('block/dm-7/dm/uuid', f'mpath-3{naa}\n')
        self.write('block/dm-7/dm/name', 'mpatha\n')
        self.write('block/dm-7/dev', '253:7\n')
        (self.sys / 'class/block').mkdir(parents=True, exist_ok=True)
        (self.sys / 'class/block/dm-7').symlink_to(self.sys / 'block/dm-7')

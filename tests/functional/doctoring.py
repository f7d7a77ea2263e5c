# SPDX-License-Identifier: Apache-2.0
"""Real damage for ``mydriver doctor``, and the remedies that it prints."""

from collections.abc import Callable, Sequence
import ctypes
import dataclasses
import json
import os
from pathlib import Path
import shutil
import struct
import subprocess
import sys

from lab import process
from mydriver.doctor import guests
from tests.functional import base, lio, systemd

ROOT = Path(__file__).parents[2]

CINDER_CONF = Path('/etc/cinder/cinder.conf')
MOUNT, STORE = Path('/srv/mydriver'), Path('/srv/mydriver/files')
ADDRESS = '192.0.2.7'

NOVA_CONF = Path('/etc/nova/nova.conf')
MULTIPATH = Path('/etc/multipath.conf')
GUESTS, DEFINITIONS = Path(guests.FOLDER), Path(guests.DEFINITIONS)

#: The node has no disk that LVM should use.
FILTER = 'devices/global_filter = [ "r|.*|" ]\n'

#: Exit statuses by the worst severity.
STATUSES = {'error': 2, 'warning': 1, 'unknown': 3}

#: A unit for a service that these tests do not need: it can be restarted.
SERVICE = """
[Unit]
Description=Stands for a service of OpenStack
[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart=/bin/true
"""

#: From adjtimex(2): maximum error and status, and the bit of a clock that
#: nobody synchronises.
_ADJ_MAXERROR, _ADJ_STATUS, _STA_UNSYNC = 0x4, 0x10, 0x40

Pairs = Sequence[tuple[str, str]]


@dataclasses.dataclass(frozen=True)
class Damage:
    """Something that is done to a host, and what the doctor has to say.

    :param name: what it is.
    :param do: does it.
    :param found: the checks that find it, and their severities; a check that
        finds two things is there twice.
    :param text: a part of what is said.
    :param mends: the printed commands mend it in a node.
    :param undo: takes back what is left of it.
    :param editor: a script that decides for the operator, as ``$EDITOR``.
    """

    name: str
    do: Callable[[], object]
    found: Pairs
    text: str
    mends: bool = True
    undo: Callable[[], object] = lambda: None
    editor: str = '/bin/false'


class DoctorCase(base.NodeTestCase):
    """A host of one kind, with systemd, sudo and the users of the services."""

    kind = ''

    @classmethod
    def setUpClass(cls):
        """Make what does not change in between."""
        super().setUpClass()
        for folder in (*Path(sys.prefix).parents, *ROOT.parents, ROOT):
            folder.chmod(folder.stat().st_mode | 0o111)  # the node's own
        cls.systemd = systemd.Systemd()
        cls.addClassCleanup(cls.systemd.end)
        for user in ('cinder', 'nova'):
            subprocess.run(['useradd', '--system', user], check=False,
                           capture_output=True)
        for unit in ('cinder-volume', 'nova-compute'):
            (systemd.UNITS / f'{unit}.service').write_text(SERVICE)
        with open('/etc/lvm/lvm.conf', 'a') as file:
            file.write(FILTER)
        synchronise()

    def examine(self, *options):
        """Run the doctor; return exit status, findings and errors.

        Findings are without those that are well, or need not be known.
        """
        status, out, err = self.systemd.run(
            'mydriver', 'doctor', self.kind, '-f', 'json', *options)
        self.assertTrue(out.startswith('['), f'{status}: {out}{err}')
        self.done = []
        found = [f for f in json.loads(out) if f['Severity'] in STATUSES]
        worst = [s for s in STATUSES if any(
            f['Severity'] == s for f in found)]
        self.assertEqual(STATUSES[worst[0]] if worst else 0, status, found)
        return found, err

    def go_through(self, *rounds):
        """Do damage, and carry out what is printed, round after round.

        A run of the command takes long in a node. So the damages of a round
        are done together: each has to be found for itself. The next run also
        shows that they are gone, and that nothing new has come with their
        remedies. At the end, the host still has to be examined.

        With MYDRIVER_SINGLY in the environment, each one is a round.
        """
        if os.environ.get('MYDRIVER_SINGLY'):
            rounds = tuple([d] for damages in rounds for d in damages)
        for damages in rounds:
            for damage in damages:
                damage.do()
            found, _ = self.examine()
            with self.subTest(', '.join(d.name for d in damages)):
                self.assert_found(damages, found)
            for damage in damages:
                with self.subTest(damage.name, part='remedy'):
                    self.mend(damage, found)
            for damage in damages:
                damage.undo()

    def assert_found(self, damages, found):
        """Assert that each damage is found, and nothing else."""
        for one in found:
            print(f'{one["Severity"]} {one["Check"]}: {one["What"]}\n    '
                  f'{one["Remedy"]}', file=sys.stderr, flush=True)
            self.assertTrue(one['Why'])
        self.assertEqual(
            sorted(pair for d in damages for pair in d.found),
            sorted((f['Check'], f['Severity']) for f in found), found)
        for damage in damages:
            checks = {check for check, _ in damage.found}
            self.assertTrue([
                f for f in found
                if damage.text in f['What'] and f['Check'] in checks],
                damage.name)

    def mend(self, damage, found):
        """Carry out the remedies of a damage."""
        if damage.mends:
            self.carry_out([f for f in found if f['Check'] in {
                check for check, _ in damage.found}], damage.editor)

    def carry_out(self, found, editor='/bin/false'):
        """Run the commands that were printed, each once.

        :param editor: a program that decides for the operator.
        """
        for remedy in dict.fromkeys(f['Remedy'] for f in found):
            self.assertTrue(remedy, found)
            if remedy not in self.done:
                self.systemd.shell(remedy, EDITOR=editor)
                self.done.append(remedy)


class StorageCase(DoctorCase):
    """A storage host with XFS, as ``mydriver setup`` and the guide say.

    One thing is wrong with it: the node loads the kernel's target before there
    is ``/etc/target``, so the kernel has another directory.
    """

    kind = 'storage'

    def setUp(self):
        super().setUp()
        lio.use(self)
        base.run('mkfs.xfs', '-q', '-f', '-m', 'reflink=1', base.DISK)
        append('/etc/fstab', f'{base.DISK} {MOUNT} xfs defaults 0 0')
        MOUNT.mkdir(parents=True)
        base.run('mount', MOUNT)
        self.addCleanup(base.run, 'umount', '-R', MOUNT)
        self.addCleanup(lio.clear)  # before that: it has files open
        base.run('install', '-d', '-o', 'cinder', '-m', '0750', STORE)
        base.run('ip', 'address', 'add', f'{ADDRESS}/32', 'dev', 'lo')
        self.systemd.shell('mydriver setup storage --install '
                           f'--store-path {MOUNT}')
        CINDER_CONF.parent.mkdir(exist_ok=True)
        shutil.copy('/etc/mydriver/cinder.conf.sample', CINDER_CONF)
        edit(CINDER_CONF, '192.0.2.11', ADDRESS)
        shutil.chown(CINDER_CONF, 'root', 'cinder')
        CINDER_CONF.chmod(0o640)


class ComputeCase(DoctorCase):
    """A compute host, with iscsid and multipathd as units."""

    kind = 'compute'

    def setUp(self):
        super().setUp()
        base.run('iscsiadm', '-k', '0')
        process.wait_for(lambda: not any(
            line[0].endswith(b'iscsid') for _, line in base.command_lines()),
            'the iscsid of the node to end', 120)
        GUESTS.mkdir(parents=True)
        DEFINITIONS.mkdir(parents=True, exist_ok=True)
        MULTIPATH.write_text(
            'defaults {\n    find_multipaths yes\n}\nblacklist {\n'
            '    devnode "^(ubd|ram|loop|dm-)"\n}\n')
        self.systemd.shell('mydriver setup compute --install')
        self.systemd.shell('systemctl enable --now iscsid multipathd')
        NOVA_CONF.parent.mkdir(exist_ok=True)
        shutil.copy('/etc/mydriver/nova.conf.sample', NOVA_CONF)
        shutil.chown(NOVA_CONF, 'root', 'nova')
        NOVA_CONF.chmod(0o640)


def script(name, text):
    """Make a program; return its path."""
    path = Path('/run', name)
    path.write_text(f'#!/bin/sh\n{text}\n')
    path.chmod(0o755)
    return str(path)


def synchronise(on=True):
    """Tell the kernel that its clock is synchronised, as an NTP daemon does.

    :param on: False to tell that it is not.
    """
    # struct timex: modes, offset, frequency, maximum and estimated error,
    # status.
    buffer = ctypes.create_string_buffer(512)
    struct.pack_into('@IqqqqI', buffer, 0, _ADJ_MAXERROR | _ADJ_STATUS, 0, 0,
                     0, 0, 0 if on else _STA_UNSYNC)
    if ctypes.CDLL(None, use_errno=True).adjtimex(buffer) < 0:
        raise OSError(ctypes.get_errno(), 'adjtimex')


def edit(path, old, new):
    """Replace a text that is in a file, which keeps its owner and mode."""
    text = Path(path).read_text()
    if old not in text:
        raise AssertionError(f'{old!r} is not in {path}')
    Path(path).write_text(text.replace(old, new))


def append(path, text):
    """Add a line to a file."""
    with open(path, 'a') as file:
        file.write(f'{text}\n')


# SPDX-License-Identifier: Apache-2.0
"""Base of the tests that need a kernel of their own.

They run as root in a kernel node::

    python -m lab kernel run --disk 4G -- python -m unittest MODULE

Anywhere else they fail rather than skip: a test that did not run says nothing.
"""

from collections.abc import Iterator
import contextlib
import os
from pathlib import Path
import re
import subprocess
import unittest

from lab import paths, process

#: The node's spare disk (``--disk``).
DISK = Path('/dev/ubda')


def in_node() -> bool:
    """Tell whether this kernel is a node's (arch/um/kernel/um_arch.c)."""
    return 'User Mode Linux' in Path('/proc/cpuinfo').read_text()


def command_lines() -> Iterator[tuple[int, list[bytes]]]:
    """Yield the process id and the arguments of all processes of the node.

    Those that end meanwhile are left out.
    """
    for entry in Path('/proc').glob('[0-9]*'):
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            yield (int(entry.name),
                   (entry / 'cmdline').read_bytes().split(b'\0'))


def is_stopped(pid: int) -> bool:
    """Tell whether a signal has stopped a process."""
    with contextlib.suppress(FileNotFoundError, ProcessLookupError):
        stat = Path('/proc', str(pid), 'stat').read_text(encoding='ascii')
        return stat.rpartition(')')[2].split()[0] == 'T'
    return False


def run(*argv: str | Path, timeout_s: float = 120) -> str:
    """Run a program that must succeed; return what it printed.

    :param argv: program and arguments.
    :param timeout_s: it is killed then, seconds.
    :raises AssertionError: when it fails, with all of its output.
    """
    done = subprocess.run(argv, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL,
                          text=True, timeout=timeout_s, check=False)
    if done.returncode:
        raise AssertionError(
            f'{" ".join(map(str, argv))}: status {done.returncode}\n'
            f'{done.stdout}')
    return done.stdout


def node_function(*call: str) -> str:
    """Run a function of the node's shell (lab/kernel/functions.sh)."""
    return run('bash', '-c', '. "$0"; "$@"',
               paths.KERNEL_SHELL / 'functions.sh', *call)


def initiator_name() -> str:
    """Return the node's initiator name."""
    text = Path('/etc/iscsi/initiatorname.iscsi').read_text()
    return re.search(r'^InitiatorName=(\S+)$', text, re.MULTILINE)[1]


def sessions() -> set[str]:
    """Return the kernel's iSCSI sessions, such as ``session1``."""
    return _names(Path('/sys/class/iscsi_session'))


def scsi_devices() -> set[str]:
    """Return the SCSI devices as HOST:CHANNEL:TARGET:LUN."""
    return _names(Path('/sys/class/scsi_device'))


def _names(folder: Path) -> set[str]:
    return {p.name for p in folder.iterdir()} if folder.exists() else set()


class NodeTestCase(unittest.TestCase):
    """A test case that needs root and a kernel that is its own."""

    @classmethod
    def setUpClass(cls) -> None:
        """Fail outside of a node, where the tests would do harm."""
        super().setUpClass()
        if not in_node() or os.geteuid():
            raise AssertionError(
                'this test changes the kernel\'s storage: run it in a node, '
                'python -m lab kernel run --disk 4G -- python -m unittest '
                f'{cls.__module__}')

    def mount_xfs(self, folder: Path) -> Path:
        """Put a fresh XFS with reflinks on the spare disk, for this test."""
        node_function('node_xfs', str(DISK), str(folder))
        self.addCleanup(run, 'umount', folder)
        return folder

    def start_multipathd(self) -> None:
        """Start multipathd for this test."""
        node_function('node_multipathd')
        self.addCleanup(self._stop_multipathd)
        process.wait_for(lambda: Path('/run/multipathd.pid').exists(),
                         'multipathd to be up', 30)

    @staticmethod
    def _stop_multipathd() -> None:
        run('multipathd', 'shutdown')
        process.wait_for(lambda: not Path('/run/multipathd.pid').exists(),
                         'multipathd to end', 30)

# SPDX-License-Identifier: Apache-2.0
"""systemd in a node, for tests of units and of what starts them."""

import os
from pathlib import Path
import shutil
import signal
import subprocess
import sys

from lab import process
from tests.functional import base

UNITS = Path('/etc/systemd/system')

_TARGET = 'node.target'
_PRIVATE = Path('/run/systemd/private')

#: The node has its own udev, and nobody reads a journal.
_MASKED = ('systemd-udevd.service', 'systemd-udevd-kernel.socket',
           'systemd-udevd-control.socket', 'systemd-journald.service',
           'systemd-journald.socket')

#: In a mount namespace, which has the procfs of the PID namespace. What is
#: mounted elsewhere is seen on both sides.
_START = ('mount --make-private /proc && mount -t proc proc /proc && '
          f'exec /lib/systemd/systemd --system --unit={_TARGET} '
          '--log-target=kmsg --show-status=no')


class Systemd:
    """systemd, as the first process of a PID namespace, with no unit started.

    It answers only those who are in that namespace, so commands that may talk
    to it have to be run by :meth:`shell` or :meth:`run`. They stay in the
    node's mount namespace: to enter another one would set the root directory
    to that of the kernel, which is the machine's.
    """

    def __init__(self) -> None:
        self._forget_the_machine()
        if not os.path.ismount('/sys/fs/cgroup'):
            base.run('mount', '-t', 'cgroup2', 'cgroup2', '/sys/fs/cgroup')
        base.run('mount', '--make-rshared', '/')
        # Before it, a session of its own, so that nothing else ends it.
        self._parent = subprocess.Popen(
            ['unshare', '--pid', '--fork', '--kill-child', '--mount',
             '--propagation', 'unchanged', 'sh', '-c', _START],
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL, start_new_session=True)
        children = Path(f'/proc/{self._parent.pid}/task/{self._parent.pid}'
                        '/children')
        self._pid = process.wait_for(
            lambda: children.read_text().strip(), 'the namespace', 60)
        process.wait_for(self._is_up, 'systemd to be up', 120)

    @staticmethod
    def _forget_the_machine() -> None:
        """Remove the machine's units from those that would be started.

        What a node removes comes back with the next one.
        """
        Path('/.dockerenv').unlink(missing_ok=True)
        generators = Path('/usr/lib/systemd/system-generators')
        for path in (*generators.glob('*'), *UNITS.glob('*'),
                     *Path('/usr/lib/systemd/system').glob('*.wants/*')):
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path)
            else:
                path.unlink()
        for unit in _MASKED:
            (UNITS / unit).symlink_to('/dev/null')
        (UNITS / _TARGET).write_text('[Unit]\nDescription=Nothing\n')

    def _is_up(self) -> bool:
        return _PRIVATE.exists() and self.run(
            'systemctl', 'is-system-running')[1].strip() == 'running'

    def run(self, *argv: str, timeout_s: float = 300
            ) -> tuple[int, str, str]:
        """Run a program beside it; return status, output and errors."""
        path = os.pathsep.join([str(Path(sys.executable).parent),
                                '/usr/sbin', '/usr/bin', '/sbin', '/bin'])
        done = subprocess.run(
            ['nsenter', '--target', self._pid, '--pid', *argv], check=False,
            stdin=subprocess.DEVNULL, capture_output=True, text=True,
            timeout=timeout_s, env={**os.environ, 'PATH': path})
        return done.returncode, done.stdout, done.stderr

    def shell(self, command: str, **environ: str) -> None:
        """Run a command by a shell, as an operator does; it must succeed.

        :raises AssertionError: when it fails, with its output.
        """
        argv = [f'{n}={v}' for n, v in environ.items()]
        status, out, err = self.run('env', *argv, 'sh', '-c', command)
        if status:
            raise AssertionError(f'{command}: status {status}\n{out}{err}')

    def end(self) -> None:
        """End it, and all that it has started."""
        os.killpg(self._parent.pid, signal.SIGKILL)
        self._parent.wait()

# SPDX-License-Identifier: Apache-2.0
"""Create, start and stop a cluster."""

from collections.abc import Callable, Sequence
from pathlib import Path
import shutil
import socket
import subprocess
import uuid

from lab import errors, process
from lab.ceph import admin, config, keys

#: Starts a process: its name, program and arguments.
Spawn = Callable[[str, Sequence[str | Path]], process.Process]

MON, MGR, OSD = DAEMONS = ('ceph-mon', 'ceph-mgr', 'ceph-osd')

_PACKAGES = {program: program for program in DAEMONS}

#: Port of the monitor (msgr2), and of its first protocol, which krbd uses.
MON_PORT, MON_PORT_V1 = 3300, 6789

#: Size of the OSD's file, which is sparse.
OSD_BYTES = 20 << 30

#: Pools, for Cinder's volumes and Glance's images.
POOLS = ('volumes', 'images')

_MARK = 'complete'


def check() -> None:
    """Check that the programs are installed.

    :raises MissingProgram: when a Debian package is missing.
    """
    for program, package in _PACKAGES.items():
        if not shutil.which(program, path='/usr/bin'):
            raise errors.MissingProgram(program, package)


class Cluster:
    """A cluster, whose files are in one directory.

    The calling thread, and the processes that ``spawn`` starts, must be in
    the network namespace that has the address.

    :param state: the directory. It has the keys, and is root's alone.
    :param address: IPv4 address of all daemons.
    :param pools: for RBD images; ``client.cinder`` may use all of them.
    :param osd_bytes: size of the OSD's sparse file, bytes.
    """

    def __init__(self, state: Path, address: str,
                 pools: Sequence[str] = POOLS,
                 osd_bytes: int = OSD_BYTES) -> None:
        self.state = state
        self.address = address
        self._pools = tuple(pools)
        self._osd_bytes = osd_bytes
        self._conf = state / 'daemons.conf'

    @property
    def conf(self) -> Path:
        """ceph.conf for clients on the host, with paths of keyrings."""
        return self.state / 'host' / 'ceph.conf'

    @property
    def client_files(self) -> Path:
        """Files for ``/etc/ceph`` of a host with clients."""
        return self.state / 'client'

    def there(self) -> bool:
        """Tell whether there is a complete cluster in the directory."""
        return (self.state / _MARK).exists()

    def up(self, spawn: Spawn, timeout_s: float = 120) -> None:
        """Start it and wait until it serves.

        It is created first if :meth:`prepare` was called, and is as it was if
        the directory has a complete one.

        :param spawn: starts a process.
        :param timeout_s: for each of the things waited for, seconds.
        :raises LabError: when it does not come up, with the end of a log.
        """
        new = not self.there()
        if new:
            self._make_files()
        mon = spawn(MON, self._daemon(MON, 'a'))
        _wait(mon, self._listens, timeout_s)
        with admin.Admin(self.conf) as ceph:
            if new:
                ceph.command('osd new', uuid=self._osd_uuid(), id=0)
            mgr = spawn(MGR, self._daemon(MGR, 'x'))
            osd = spawn(OSD, self._daemon(OSD, '0'))
            _wait(osd, lambda: ceph.command('osd stat')['num_up_osds'],
                  timeout_s)
            for pool in self._pools:
                if new:
                    ceph.make_pool(pool)
                ceph.list_images(pool)
            # Zero until the manager has told the monitor.
            _wait(mgr, lambda: ceph.stats()['kb'], timeout_s)
        (self.state / _MARK).touch()

    def prepare(self) -> None:
        """Write configuration and keys of a new cluster.

        Another one in the directory is removed. The files of clients are
        complete then, before anything runs.
        """
        shutil.rmtree(self.state, ignore_errors=True)
        self.state.mkdir(parents=True, mode=0o700)
        self.state.chmod(0o700)
        fsid = str(uuid.uuid4())
        clients = keys.clients(self._pools)
        known = {user: keys.generate() for user in (*clients, *keys.DAEMONS)}
        self._conf.write_text(config.daemons(
            fsid, self.address, self.state, self._osd_bytes))
        _secret(self.state / 'keyring',
                keys.keyring(known, {**clients, **keys.DAEMONS}))
        for folder, text in (
                (self.conf.parent, config.client(
                    fsid, self.address, self.conf.parent)),
                (self.client_files, config.client(fsid, self.address))):
            folder.mkdir()
            (folder / 'ceph.conf').write_text(text)
            for user, caps in clients.items():
                _secret(folder / f'ceph.{user}.keyring',
                        keys.keyring(known, {user: caps}))
        for name, user in (('mon.a', 'mon.'), ('mgr.x', 'mgr.x'),
                           ('osd.0', 'osd.0')):
            (self.state / name).mkdir()
            if user != 'mon.':
                _secret(self.state / name / 'keyring',
                        keys.keyring(known, {user: {}}))
        (self.state / 'run').mkdir()
        (self.state / 'crash').mkdir()
        (self.state / 'osd.uuid').write_text(str(uuid.uuid4()))

    def _osd_uuid(self) -> str:
        return (self.state / 'osd.uuid').read_text()

    def _make_files(self) -> None:
        """Make the monitor's and the OSD's files, both at once.

        :raises LabError: when one of the programs fails.
        """
        common = ('--conf', self._conf, '--no-mon-config', '--mkfs')
        started = [
            (name, subprocess.Popen(
                argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT, text=True))
            for name, argv in (
                (MON, (MON, '-i', 'a', *common,
                       '--keyring', self.state / 'keyring')),
                (OSD, (OSD, '-i', '0', *common,
                       '--osd-uuid', self._osd_uuid())))]
        outputs = [(name, child, child.communicate()[0])
                   for name, child in started]
        for name, child, output in outputs:
            if child.returncode:
                raise errors.LabError(
                    f'{name} --mkfs: status {child.returncode}\n{output}')

    def _daemon(self, program: str, name: str) -> tuple[str | Path, ...]:
        return (program, '-i', name, '-f', '--conf', self._conf)

    def _listens(self) -> bool:
        try:
            with socket.create_connection((self.address, MON_PORT), 5):
                return True
        except ConnectionRefusedError:
            return False


def _wait(daemon: process.Process, probe: Callable[[], object],
          timeout_s: float) -> None:
    """Wait until a daemon serves.

    :raises ProcessEnded: when it ends, with the end of its log.
    :raises DeadlinePassed: likewise.
    """
    def look() -> object:
        if not daemon.alive():
            raise errors.ProcessEnded(daemon.name, daemon.tail())
        return probe()

    process.wait_for(look, f'{daemon.name} to be ready', timeout_s,
                     poll_s=0.02, details=daemon.tail)


def _secret(path: Path, text: str) -> None:
    """Write a file that only root can read."""
    path.touch(0o600)
    path.write_text(text)

# SPDX-License-Identifier: Apache-2.0
"""Snapshots of several thin volumes as of one moment.

LVM snapshots one volume a command and suspends that one alone; when it finds
it suspended already, it does not tell the pool of the new snapshot and its
metadata no longer fits the kernel's. So LVM makes the snapshots beforehand,
inactive, which reserves their names and thin ids, and here the kernel is told
to make those ids anew, as of the moment when all sources are suspended:
Documentation/admin-guide/device-mapper/thin-provisioning.rst, "Internal
snapshots". The pool's transaction id stays as LVM knows it.
"""

from collections.abc import Iterator, Sequence
import contextlib
import errno
import subprocess
import time

from mydriver import exception
from mydriver.privileged import dm

#: However it goes, nothing is suspended for longer.
LIMIT_S = 20.0

# Resumes when the time is up or when its standard input ends, as it does with
# the process that holds the other end. Resuming what goes on does no harm.
_GUARD = ('timeout "$1" cat > /dev/null; shift; '
          'for name; do dmsetup resume "$name"; done')


def copy_together(pool: str, copies: Sequence[tuple[str, int, int]]) -> float:
    """Snapshot thin devices, all suspended before the first.

    Each is resumed as soon as its own snapshot is there.

    :param pool: device-mapper's name of the pool.
    :param copies: name of the source's device, its id, id of the snapshot.
    :returns: how long they were suspended, in seconds.
    :raises StoreError: when it could not be done, or took too long.
    """
    for _source, _source_id, copy_id in copies:
        _forget(pool, copy_id)
    sources = [source for source, _source_id, _copy_id in copies]
    with _guarded(sources):
        started = time.monotonic()
        for source in sources:
            suspend(source)
        for source, source_id, copy_id in copies:
            if time.monotonic() - started > LIMIT_S / 2:
                raise exception.StoreError(
                    'copy volumes together', 'suspending them took longer '
                    f'than {LIMIT_S / 2:.0f} s')
            dm.message(pool, f'create_snap {copy_id} {source_id}')
            dm.resume(source)
        return time.monotonic() - started


#: Patched out by the test that shows what it is for.
suspend = dm.suspend


def _forget(pool: str, thin_id: int) -> None:
    """Free an id of a pool."""
    try:
        dm.message(pool, f'delete {thin_id}')
    except OSError as e:
        if e.errno != errno.ENODATA:
            raise


@contextlib.contextmanager
def _guarded(devices: Sequence[str]) -> Iterator[None]:
    """Resume devices at the end, even if this process does not live on."""
    with subprocess.Popen(
            ['sh', '-c', _GUARD, 'sh', str(LIMIT_S), *devices],
            stdin=subprocess.PIPE, start_new_session=True,
            env={'PATH': '/usr/sbin:/usr/bin:/sbin:/bin'}) as guard:
        try:
            yield
        finally:
            for device in devices:
                with contextlib.suppress(OSError):
                    dm.resume(device)
            assert guard.stdin  # noqa: S101  for the type checker
            guard.stdin.close()

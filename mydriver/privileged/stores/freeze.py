# SPDX-License-Identifier: Apache-2.0
"""Consistent snapshots of several thin volumes.

LVM snapshots one volume per command and suspends only that one. If it is
suspended already, LVM does not send the pool the message that creates the
snapshot, and LVM's metadata no longer matches the kernel's. So LVM creates the
snapshots beforehand, inactive, which reserves their names and device ids.
Here all sources are suspended and the kernel creates those ids again:
Documentation/admin-guide/device-mapper/thin-provisioning.rst, "Internal
snapshots". The pool's transaction id remains the one that LVM knows.
"""

from collections.abc import Iterator, Sequence
import contextlib
import errno
import subprocess
import time

from mydriver import exception
from mydriver.privileged import dm

#: No device stays suspended for longer, whatever happens.
LIMIT_S = 20.0

# Resumes the devices when the time is up or its standard input is closed, as
# it is when the process at the other end dies. Resuming a device that is not
# suspended does no harm.
_GUARD = ('timeout "$1" cat > /dev/null; shift; '
          'for name; do dmsetup resume "$name"; done')


def copy_together(pool: str, copies: Sequence[tuple[str, int, int]]) -> float:
    """Suspend all sources, then snapshot them one by one.

    Each is resumed as soon as its own snapshot exists.

    :param pool: device-mapper's name of the pool.
    :param copies: the source's device, its id, and the id of the snapshot.
    :returns: for how long they were suspended, in seconds.
    :raises StoreError: when suspending them takes too long.
    :raises OSError: when device-mapper refuses.
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


#: A test replaces it to show what suspending prevents.
suspend = dm.suspend


def _forget(pool: str, thin_id: int) -> None:
    """Free a device id of a pool; it is fine when it is free already."""
    try:
        dm.message(pool, f'delete {thin_id}')
    except OSError as e:
        if e.errno != errno.ENODATA:
            raise


@contextlib.contextmanager
def _guarded(devices: Sequence[str]) -> Iterator[None]:
    """Resume devices at the end, even if this process dies before."""
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

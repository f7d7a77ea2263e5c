# SPDX-License-Identifier: Apache-2.0
"""Images that a service of several has mapped on its own host.

A device outlives the service that was killed. The next start of a service on
the same host unmaps what it finds noted; nothing else is known to be nobody's.
"""

import socket
from typing import Any

from mydriver import exception
from mydriver.ceph import omap
from mydriver.stores.rbd import local, sessions

_PREFIX = 'mapped/'


def note(io: Any, name: str) -> None:
    """Note that an image is going to be mapped on this host."""
    omap.within(io).write(sessions.OBJECT, {_key(name): 'yes'})


def forget(io: Any, name: str) -> None:
    """Remove the note of an image that is not mapped here any more."""
    omap.within(io).write(sessions.OBJECT, {}, [_key(name)])


def recover(io: Any, host: local.Host) -> list[str]:
    """Unmap what an earlier run has left on this host.

    :param host: the devices of the pool here.
    :returns: what is kept, with the reasons: for instance a device that is
        open.
    """
    kept = []
    for key in sorted(sessions.entries(io, _key(''))):
        name = key.removeprefix(_key(''))
        try:
            host.let_down(name)
            forget(io, name)
        except exception.MyDriverError as e:
            kept.append(f'the device of {name}: {e}')
    return kept


def _key(name: str) -> str:
    return f'{_PREFIX}{socket.gethostname()}/{name}'

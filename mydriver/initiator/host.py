# SPDX-License-Identifier: Apache-2.0
"""The compute host: what reads it, what changes it, and its locks."""

from collections.abc import Callable
import logging
from pathlib import Path

from mydriver import exception
from mydriver.connection.iscsi import Connection
from mydriver.initiator.devices import Devices
from mydriver.initiator.locks import SessionLocks
from mydriver.initiator.multipath import Multipath
from mydriver.initiator.sessions import Sessions
from mydriver.initiator.sysfs import Sysfs
from mydriver.initiator.usage import Usage
from mydriver.initiator.verbs import Verbs

LOG = logging.getLogger(__name__)


class Host:
    """What attach, detach and extend work with.

    :param verbs: change the host.
    :param lock_folder: directory of the lock files.
    :param sysfs: reads the host.
    :param usage: finds what else on the host uses a disk.
    """

    def __init__(self, verbs: Verbs, lock_folder: Path,
                 sysfs: Sysfs | None = None,
                 usage: Usage | None = None) -> None:
        self.verbs = verbs
        self.sysfs = sysfs or Sysfs()
        self.usage = usage or Usage(self.sysfs)
        self.locks = SessionLocks(lock_folder)
        self.sessions = Sessions(verbs, self.sysfs, self.locks)
        self.devices = Devices(verbs, self.sysfs)
        self.multipath = Multipath(verbs, self.sysfs)


def naa_of(connection: Connection) -> str:
    """Return the NAA id of the volume that a connection leads to.

    :raises InvalidConnectionData: if it has none.
    """
    if not connection.wwn:
        raise exception.InvalidConnectionData('the NAA id is missing')
    return connection.wwn


def log_and_continue(step: Callable[..., object], *args: object) -> None:
    """Run one clean-up step; log its error, so as not to hide the first."""
    try:
        step(*args)
    except Exception as e:
        LOG.warning('While cleaning up: %s', e)

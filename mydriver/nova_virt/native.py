# SPDX-License-Identifier: Apache-2.0
"""Whether guests of this host can use RBD images without a device.

QEMU needs its driver for rbd, which distributions put into a package of its
own, and libvirt needs the secret with the Ceph client's key. Nova itself needs
nothing: its volume driver for ``rbd`` takes the Ceph user and the UUID of the
secret from the connection, and nova.conf's ``rbd_user`` and
``rbd_secret_uuid`` only where the connection names no secret.
"""

from collections.abc import Callable
import logging
import threading
import time
from typing import Any

from oslo_concurrency import processutils

LOG = logging.getLogger(__name__)

#: ``VIR_SECRET_USAGE_TYPE_CEPH`` (libvirt, virSecretUsageType).
_CEPH = 2

#: A QEMU without the driver is asked again after this time, seconds: a
#: package may have been installed.
ASK_AGAIN_AFTER_S = 900

#: Asks QEMU for an image in a cluster whose configuration does not exist: the
#: driver complains about that before it looks for any cluster. ``--help``
#: would list the driver even where it is not installed.
_QUESTION = ('qemu-img', 'info', 'rbd:none/none:conf=/nonexistent/mydriver')
_ANSWER_WITHOUT = "Unknown protocol 'rbd'"
_ANSWER_WITH = '/nonexistent/mydriver'
_TIMEOUT_S = 20


def qemu_has_rbd() -> bool:
    """Tell whether QEMU has its driver for rbd; in doubt, it has not."""
    try:
        said = ''.join(processutils.execute(
            *_QUESTION, check_exit_code=False, timeout=_TIMEOUT_S,
            env_variables={'LC_ALL': 'C'}))
    except (processutils.ProcessExecutionError, OSError) as e:
        LOG.warning('qemu-img does not tell whether it has the driver for '
                    'rbd: %s', e)
        return False
    if _ANSWER_WITHOUT in said:
        return False
    if _ANSWER_WITH in said:
        return True
    LOG.warning('qemu-img gives no known answer to %s: %.300s',
                ' '.join(_QUESTION), said)
    return False


class NativeAccess:
    """What this host can use natively; thread-safe.

    :param host: :class:`nova.virt.libvirt.host.Host`.
    :param ask_qemu: tells whether QEMU has its driver for rbd.
    :param ask_again_after_s: how long "no" is remembered; "yes" always is.
    """

    def __init__(self, host: Any,
                 ask_qemu: Callable[[], bool] = qemu_has_rbd,
                 ask_again_after_s: float = ASK_AGAIN_AFTER_S) -> None:
        self._host = host
        self._ask_qemu = ask_qemu
        self._ask_again_after_s = ask_again_after_s
        self._lock = threading.Lock()
        self._has_driver = False
        self._asked: float | None = None

    def secrets(self) -> frozenset[str]:
        """Return the UUIDs of the secrets with which guests can use images.

        The list is read each time, which takes libvirt a millisecond; values
        are not read. Empty where QEMU has no driver, or libvirt no answer.
        """
        try:
            found = frozenset(
                str(s.UUIDString()).lower()
                for s in self._host.get_connection().listAllSecrets(0)
                if s.usageType() == _CEPH)
        except Exception as e:
            # Those of libvirt and of nova; iSCSI works without an answer.
            LOG.warning('libvirt does not list its secrets: %s', e)
            return frozenset()
        return found if found and self._qemu_can() else frozenset()

    def _qemu_can(self) -> bool:
        with self._lock:
            now = time.monotonic()
            if not self._has_driver and (
                    self._asked is None
                    or now - self._asked >= self._ask_again_after_s):
                self._has_driver, self._asked = self._ask_qemu(), now
                LOG.info('Guests of this host can%s use RBD images natively',
                         '' if self._has_driver else 'not')
            return self._has_driver

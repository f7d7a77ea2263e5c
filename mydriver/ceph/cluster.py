# SPDX-License-Identifier: Apache-2.0
"""Connections to a Ceph cluster, with librados.

librados and librbd have no wheel: their Python modules come with the
distribution (Debian: python3-rados, python3-rbd) and are imported when a
cluster is used, so that everything else works without them.
"""

from collections.abc import Iterator
import contextlib
import dataclasses
import importlib
import math
import os
import re
import threading
from typing import Any

from mydriver import exception
from mydriver.ceph import blocking, clients

#: Connections that must not be closed: a parent's, after a fork, and those
#: that other threads may still be using. An object of librados closes its
#: connection when Python frees it.
_abandoned: list[Any] = []

#: How long a connection may take, and how long an operation may take; seconds.
#: A write that timed out may still be carried out.
CONNECT_TIMEOUT_S = 15
OPERATION_TIMEOUT_S = 30

#: Threads of a connection that run completions. After librbd has told an
#: opener that its image is open, the thread that did so takes a lock of the
#: image once more (src/librbd/ImageState.cc, complete_action_unlock). If the
#: opener closes the image meanwhile, the lock is freed memory by then, and the
#: process ends with a corrupted heap. With one thread, it takes the lock
#: before it can run anything of the close. The price: what waits in such a
#: thread waits for ever. Of librbd's operations that is rbd_snap_unprotect,
#: which clones of the second format do not need.
COMPLETION_THREADS = 1


@dataclasses.dataclass(frozen=True, slots=True)
class Settings:
    """How a backend reaches its Ceph pool.

    :param pool: name of the pool.
    :param user: name of the client, without ``client.``; its key is in the
        keyring that the configuration names.
    :param conf: absolute path of Ceph's configuration file.
    """

    pool: str
    user: str = 'cinder'
    conf: str = '/etc/ceph/ceph.conf'


def module(name: str) -> Any:
    """Return librados' or librbd's Python module.

    :param name: ``rados`` or ``rbd``.
    :raises ConfigurationError: when it is not installed.
    """
    try:
        return importlib.import_module(name)
    except ImportError as e:
        raise exception.ConfigurationError(
            'mydriver_store', f'rbd needs the Python module {name}, which '
            f'this interpreter cannot import ({e})',
            f'Install it from the distribution (Debian: python3-{name}). In a '
            'virtual environment of the same Python version, add the '
            "distribution's module directory (Debian: "
            '/usr/lib/python3/dist-packages) in a .pth file.') from e


@contextlib.contextmanager
def errors_translated(what: str) -> Iterator[None]:
    """Raise errors of librados and librbd as ours.

    :param what: the operation, for the text: "Ceph cannot {what}".
    :raises CephError: for any error of theirs that the caller lets through.
    """
    errors = (module('rados').Error, module('rbd').Error)
    try:
        yield
    except errors as e:
        raise exception.CephError(what, reason(e)) from e


def reason(error: Exception) -> str:
    """Return the text of an error of librados or librbd, without a period."""
    number = getattr(error, 'errno', None)
    if isinstance(number, int) and number:
        return os.strerror(abs(number))
    return str(error).rstrip('.') or type(error).__name__


def _refuse_missing_key(handle: Any, user: str, conf: str) -> None:
    """Check that there is a keyring, without which a connection times out."""
    if handle.conf_get('key') or handle.conf_get('keyfile'):
        return
    paths = [p for p in re.split('[,; ]+', handle.conf_get('keyring')) if p]
    if not any(os.access(path, os.R_OK) for path in paths):
        raise exception.ConfigurationError(
            'mydriver_rbd_user', f'client.{user} has no keyring that can be '
            f'read: none of {", ".join(paths)} (see {conf})',
            f'Put its keyring there, readable for user id {os.geteuid()}.')


class Cluster:
    """One connection, opened on first use; thread-safe.

    A process that was forked gets a connection of its own: librados does not
    survive a fork.

    :param settings: how it is reached.
    :param timeout_s: how long an operation may take.
    """

    def __init__(self, settings: Settings,
                 timeout_s: float = OPERATION_TIMEOUT_S) -> None:
        self.settings = settings
        self._timeout_s = timeout_s
        self._lock = threading.Lock()
        self._pid = 0
        self._handle: Any = None
        self._pools: dict[tuple[str, str], Any] = {}

    def handle(self) -> Any:
        """Return the connected ``rados.Rados``.

        :raises ConfigurationError: when Ceph's modules or files are missing.
        :raises CephError: when the cluster does not answer.
        """
        with self._lock:
            return self._connected()

    def pool(self, name: str | None = None, namespace: str = '') -> Any:
        """Return the ``rados.Ioctx`` of a pool, shared by all threads.

        :param name: of the pool; the one of the settings by default.
        :param namespace: of RADOS objects in the pool.
        :raises ConfigurationError: when there is no such pool.
        :raises CephError: when the cluster does not answer.
        """
        wanted = name or self.settings.pool
        with self._lock:
            handle = self._connected()
            if (wanted, namespace) not in self._pools:
                self._pools[wanted, namespace] = self._open(
                    handle, wanted, namespace)
            return self._pools[wanted, namespace]

    def client_of(self, pool: Any) -> clients.Client:
        """Return the client that a context of a pool belongs to.

        :param pool: as :meth:`pool` returned it.
        :raises CephError: when it belongs to an earlier connection.
        """
        with self._lock:
            if not any(pool is mine for mine in self._pools.values()):
                raise exception.CephError(
                    'go on', 'the connection was replaced meanwhile')
            with errors_translated('tell the address of a client'):
                found = str(self._handle.get_addrs())
        try:
            # With the version of the protocol, such as v2:.
            return clients.Client.parse(re.sub('^(v[12]|any):', '', found))
        except ValueError as e:
            raise exception.CephError(
                'tell the address of a client', str(e)) from e

    def fsid(self) -> str:
        """Return the cluster's id, a UUID.

        :raises CephError: when the cluster does not answer.
        """
        handle = self.handle()
        with errors_translated('tell its id'):
            return str(handle.get_fsid())

    def __del__(self) -> None:
        # Python would free the pools and the connection in any order, and
        # librados aborts the process when the connection is first.
        self.close()

    def abandon(self, pool: Any) -> None:
        """Open another connection for the next use, instead of a pool's.

        Other threads may still be using that one, so it stays open. If one of
        them has abandoned it before, the present connection is another one,
        and is kept.

        :param pool: as :meth:`pool` returned it.
        """
        with self._lock:
            if any(pool is mine for mine in self._pools.values()):
                self._let_go()

    def _let_go(self) -> None:
        if self._handle is not None:
            _abandoned.append((self._handle, self._pools))
        self._handle, self._pools = None, {}

    def close(self) -> None:
        """Close the connection, which no other thread may be using.

        The next use opens another one.
        """
        with self._lock:
            if self._handle is not None and self._pid == os.getpid():
                for pool in self._pools.values():
                    pool.close()
                self._handle.shutdown()
                self._handle, self._pools = None, {}
            self._let_go()

    def _connected(self) -> Any:
        if self._handle is None or self._pid != os.getpid():
            self._let_go()
            self._handle, self._pools = self._connect(), {}
            self._pid = os.getpid()
        return self._handle

    @blocking.step
    def _connect(self) -> Any:
        rados = module('rados')
        conf, user = self.settings.conf, self.settings.user
        if not os.access(conf, os.R_OK):
            raise exception.ConfigurationError(
                'mydriver_rbd_ceph_conf', f'{conf} cannot be read',
                "Install Ceph's configuration file there, readable for user "
                f'id {os.geteuid()}.')
        # Ceph takes whole seconds only.
        timeout_s = str(math.ceil(self._timeout_s))
        try:
            handle = rados.Rados(
                name=f'client.{user}', conffile=conf,
                conf={'client_mount_timeout': str(CONNECT_TIMEOUT_S),
                      'rados_mon_op_timeout': timeout_s,
                      'rados_osd_op_timeout': timeout_s,
                      # A snapshot with clones can be removed.
                      'rbd_default_clone_format': '2',
                      'librados_thread_count': str(COMPLETION_THREADS),
                      # librbd breaks the lock of a client that has gone, and
                      # enters it in the blocklist. The monitors refuse any
                      # other time than the default one (an hour), which
                      # librbd 16 sends as a text.
                      'rbd_blocklist_expire_seconds': '0'})
            _refuse_missing_key(handle, user, conf)
            handle.connect()
        except (rados.Error, OSError) as e:
            raise exception.CephError(
                f'accept client.{user} ({conf})', reason(e)) from e
        return handle

    @blocking.step
    def _open(self, handle: Any, name: str, namespace: str) -> Any:
        rados = module('rados')
        try:
            pool = handle.open_ioctx(name)
        except rados.ObjectNotFound as e:
            raise exception.ConfigurationError(
                'mydriver_rbd_pool', f'there is no pool {name!r}',
                'Create it (ceph osd pool create, rbd pool init) or name '
                'another one.') from e
        except (rados.Error, OSError) as e:
            raise exception.CephError(f'open pool {name}', reason(e)) from e
        pool.set_namespace(namespace)
        # Under green threads this would be a lock of theirs. librados' own
        # threads wait for it, which they cannot: the process was seen to hang
        # ("Cannot switch to a different thread"). The lists of completions
        # that it guards are changed by single calls, which need no lock.
        pool.lock = contextlib.nullcontext()
        return pool

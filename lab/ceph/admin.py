# SPDX-License-Identifier: Apache-2.0
"""Commands for a cluster, through librados.

A command takes milliseconds this way; the program ``ceph`` needs half a second
to start, and two in a kernel node. The calling thread must be in the network
namespace that has the cluster.
"""

from collections.abc import Iterator, Mapping
import contextlib
import json
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from lab import errors


class Admin:
    """A connection as ``client.admin``.

    :param conf: ceph.conf for clients.
    :raises LabError: when the cluster does not answer.
    """

    def __init__(self, conf: Path) -> None:
        rados = _module('rados')
        self._errors: type[Exception] = rados.Error
        # One thread: see COMPLETION_THREADS in mydriver/ceph/cluster.py.
        self.cluster = rados.Rados(conffile=str(conf), name='client.admin',
                                   conf={'librados_thread_count': '1'})
        try:
            self.cluster.connect()
        except rados.Error as e:
            raise errors.LabError(
                f'Ceph does not let client.admin in: {e}') from e

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None,
                 error: BaseException | None,
                 traceback: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """End the connection."""
        self.cluster.shutdown()

    def command(self, prefix: str, **arguments: Any) -> Any:
        """Run a command of the monitors; return its result.

        :param prefix: such as ``osd pool create``.
        :param arguments: as ``ceph --verbose`` shows them.
        :returns: what its JSON says; None if it has no result.
        :raises LabError: when it fails.
        """
        request = {'prefix': prefix, 'format': 'json', **arguments}
        code, output, text = self.cluster.mon_command(
            json.dumps(request), b'')
        if code:
            raise errors.LabError(f'ceph {prefix}: {text} ({code})')
        return json.loads(output) if output.strip() else None

    def make_pool(self, name: str) -> None:
        """Create a pool and prepare it for RBD, as ``rbd pool init`` does."""
        rbd = _module('rbd')
        self.command('osd pool create', pool=name)
        try:
            with self.cluster.open_ioctx(name) as pool:
                rbd.RBD().pool_init(pool, True)
        except (self._errors, rbd.Error) as e:
            raise errors.LabError(f'rbd pool init {name}: {e}') from e

    def omaps(self, pool: str, namespace: str, prefix: str
              ) -> dict[str, dict[str, str]]:
        """Return the omaps of objects, at most 100 keys of each.

        :param prefix: how the objects' names begin.
        :returns: by object, the values by key.
        """
        rados = _module('rados')
        found = {}
        with self.cluster.open_ioctx(pool) as ioctx:
            ioctx.set_namespace(namespace)
            for name in [o.key for o in ioctx.list_objects()
                         if o.key.startswith(prefix)]:
                with rados.ReadOpCtx() as op:
                    values, _ = ioctx.get_omap_vals(op, '', '', 100)
                    ioctx.operate_read_op(op, name)
                    found[name] = {k: v.decode() for k, v in values}
        return found

    def omap_keys(self, pool: str, namespace: str, name: str,
                  prefix: str = '') -> list[str]:
        """Return keys of an object's omap, at most 1000.

        :param prefix: how the keys begin.
        :returns: none where there is no such object.
        """
        rados = _module('rados')
        with (self.cluster.open_ioctx(pool) as ioctx,
              rados.ReadOpCtx() as op):
            ioctx.set_namespace(namespace)
            values, _ = ioctx.get_omap_vals(op, '', prefix, 1000)
            try:
                ioctx.operate_read_op(op, name)
            except rados.ObjectNotFound:
                return []
            return [key for key, _ in values]

    def list_images(self, pool: str) -> list[str]:
        """Return the images of a pool."""
        rbd = _module('rbd')
        try:
            with self.cluster.open_ioctx(pool) as ioctx:
                return list(rbd.RBD().list(ioctx))
        except (self._errors, rbd.Error) as e:
            raise errors.LabError(f'rbd ls {pool}: {e}') from e

    def list_trash(self, pool: str) -> list[str]:
        """Return the names of the images in a pool's trash."""
        rbd = _module('rbd')
        try:
            with self.cluster.open_ioctx(pool) as ioctx:
                return [str(found['name'])
                        for found in rbd.RBD().trash_list(ioctx)]
        except (self._errors, rbd.Error) as e:
            raise errors.LabError(f'rbd trash ls {pool}: {e}') from e

    @contextlib.contextmanager
    def image(self, pool: str, name: str, *,
              write: bool = False) -> Iterator[Any]:
        """Open an image (``rbd.Image``), for reading by default.

        :raises LabError: when it cannot be opened or an operation fails.
        """
        rbd = _module('rbd')
        try:
            with (self.cluster.open_ioctx(pool) as ioctx,
                  rbd.Image(ioctx, name, read_only=not write) as image):
                yield image
        except (self._errors, rbd.Error) as e:
            raise errors.LabError(f'rbd image {pool}/{name}: {e}') from e

    def stats(self) -> Mapping[str, int]:
        """Return the cluster's capacity: ``kb``, ``kb_used``, ..."""
        return dict(self.cluster.get_cluster_stats())


def _module(name: str) -> Any:
    """Import one of Ceph's modules, which are not on any package index.

    :raises MissingProgram: when Debian's package is missing.
    """
    try:
        return __import__(name)
    except ImportError as e:
        raise errors.MissingProgram(
            f'the Python module {name}', f'python3-{name}') from e

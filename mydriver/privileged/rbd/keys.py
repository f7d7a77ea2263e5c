# SPDX-License-Identifier: Apache-2.0
"""Ceph's key in the kernel's key ring, for as long as an image is mapped.

In the options of a mapping the key would be shown by sysfs (config_info) and
in audit logs. The kernel's client copies it when it is made
(net/ceph/ceph_common.c, get_secret), so it need not stay in the ring.
"""

from collections.abc import Iterator
import contextlib
import ctypes
import os

from mydriver import exception

_LIBRARY = 'libkeyutils.so.1'
#: keyrings(7): only this thread finds what is in it.
_THREAD_KEYRING = -1


@contextlib.contextmanager
def held(name: str, key: bytes) -> Iterator[None]:
    """Let this thread's maps find a key, within the block.

    :param name: by which the options of the mapping refer to it.
    :param key: in the binary form, see :meth:`.CephConf.key`.
    :raises OSError: when the kernel refuses it.
    """
    library = _library()
    serial = library.add_key(
        b'ceph', name.encode(), key, ctypes.c_size_t(len(key)),
        _THREAD_KEYRING)
    if serial < 0:
        number = ctypes.get_errno()
        raise OSError(number, f'add_key: {os.strerror(number)}')
    try:
        yield
    finally:
        library.keyctl_unlink(serial, _THREAD_KEYRING)


def _library() -> ctypes.CDLL:
    try:
        return ctypes.CDLL(_LIBRARY, use_errno=True)
    except OSError as e:
        raise exception.ConfigurationError(
            'mydriver_store', f'rbd needs {_LIBRARY}', 'Install libkeyutils1, '
            'on which ceph-common depends.') from e

# SPDX-License-Identifier: Apache-2.0
"""Write an initial RAM file system.

The format is "newc" (Documentation/driver-api/early-userspace/
buffer-format.rst in the kernel). cpio(1) is not used, since the same content
must give the same bytes.
"""

from collections.abc import Mapping
import gzip
import stat

_END = 'TRAILER!!!'


def initramfs(files: Mapping[str, tuple[int, bytes]]) -> bytes:
    """Return a compressed archive.

    :param files: path without a leading slash -> permissions and content.
    """
    folders = {str(p) for path in files for p in _parents(path)}
    members = [(folder, stat.S_IFDIR | 0o755, b'')
               for folder in sorted(folders)]
    members += [(path, stat.S_IFREG | mode, data)
                for path, (mode, data) in sorted(files.items())]
    members.append((_END, 0, b''))
    raw = b''.join(_member(n, *m) for n, m in enumerate(members, 1))
    return gzip.compress(raw, 9, mtime=0)


def _parents(path: str) -> list[str]:
    parts = path.split('/')[:-1]
    return ['/'.join(parts[:n]) for n in range(1, len(parts) + 1)]


def _member(inode: int, name: str, mode: int, data: bytes) -> bytes:
    """Encode one member; header and content are padded to four bytes."""
    encoded = name.encode() + b'\0'
    numbers = (inode, mode, 0, 0, 2 if stat.S_ISDIR(mode) else 1, 0,
               len(data), 0, 0, 0, 0, len(encoded), 0)
    head = b'070701' + b''.join(b'%08X' % n for n in numbers) + encoded
    return _padded(head) + _padded(data)


def _padded(data: bytes) -> bytes:
    return data + bytes(-len(data) % 4)

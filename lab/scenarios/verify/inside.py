# SPDX-License-Identifier: Apache-2.0
"""Runs in a node, with the project's virtual environment.

``inside.py stranger-make FOLDER`` makes an export by hand, as targetcli
would. ``stranger-drop`` removes it. ``configfs [PREFIX...]`` prints the
checksum of each link and attribute in the target's configfs, including
secrets. ``arguments SECONDS`` prints every distinct command line that it saw.
"""

from collections.abc import Callable
import hashlib
import json
import os
from pathlib import Path
import sys
import time

_CONFIGFS = Path('/sys/kernel/config/target')
STRANGER = 'iqn.2003-01.org.linux-iscsi.stranger:disk'
_STRANGER_INITIATOR = 'iqn.1993-08.org.debian:01:stranger'
# Counters, and what sessions change.
_VOLATILE = {'statistics', 'fabric_statistics', 'info', 'hba_info', 'alua',
             'dynamic_sessions', 'hba_id'}


def stranger_make(folder: str) -> None:
    """Make a target with a LUN, a portal and an ACL."""
    import rtslib_fb
    path = Path(folder, 'stranger.img')
    with path.open('wb') as f:
        f.truncate(1 << 20)
    store = rtslib_fb.FileIOStorageObject('stranger', str(path), 1 << 20)
    tpg = rtslib_fb.TPG(rtslib_fb.Target(
        rtslib_fb.FabricModule('iscsi'), STRANGER), 1)
    rtslib_fb.NetworkPortal(tpg, '127.0.0.1', 3260)
    rtslib_fb.LUN(tpg, 0, store)
    acl = rtslib_fb.NodeACL(tpg, _STRANGER_INITIATOR)
    acl.chap_userid, acl.chap_password = 'stranger', 'strangersecret'
    rtslib_fb.MappedLUN(acl, 0, 0)
    tpg.enable = True


def stranger_drop(folder: str) -> None:
    """Remove it again."""
    import rtslib_fb
    rtslib_fb.Target(rtslib_fb.FabricModule('iscsi'), STRANGER,
                     'lookup').delete()
    rtslib_fb.FileIOStorageObject('stranger').delete()
    Path(folder, 'stranger.img').unlink()


def configfs(*prefixes: str) -> dict[str, str]:
    """Return checksums of all objects that do not change by themselves."""
    found = {}
    for path in sorted(_CONFIGFS.rglob('*')):
        parts = path.relative_to(_CONFIGFS).parts
        if _VOLATILE & set(parts) or path.name.startswith('stat'):
            continue
        if prefixes and not any(p in str(path) for p in prefixes):
            continue
        if path.is_symlink():
            value = str(path.resolve())
        elif path.is_dir():
            value = 'folder'
        else:
            try:
                value = path.read_text()
            except (OSError, UnicodeDecodeError) as e:
                value = type(e).__name__
        found[str(path)] = hashlib.sha256(value.encode()).hexdigest()[:16]
    return found


def arguments(seconds: str) -> list[str]:
    """Return every distinct command line seen in the next seconds."""
    seen = set()
    deadline = time.monotonic() + float(seconds)
    while time.monotonic() < deadline:
        for name in os.listdir('/proc'):
            if name.isdigit():
                try:
                    with open(f'/proc/{name}/cmdline', 'rb') as f:
                        seen.add(f.read())
                except OSError:
                    continue
    return sorted(s.replace(b'\0', b' ').decode(errors='replace')
                  for s in seen if s)


_VERBS: dict[str, Callable[..., object]] = {
    'stranger-make': stranger_make, 'stranger-drop': stranger_drop,
    'configfs': configfs, 'arguments': arguments}

if __name__ == '__main__':
    json.dump(_VERBS[sys.argv[1]](*sys.argv[2:]), sys.stdout)

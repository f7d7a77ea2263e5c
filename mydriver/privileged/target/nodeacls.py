# SPDX-License-Identifier: Apache-2.0
"""NodeACLs: their owner, their CHAP settings, and their removal."""

from collections.abc import Iterable
import contextlib
from pathlib import Path

import rtslib_fb

from mydriver import exception
from mydriver.privileged.target import links

_UUID_LENGTH = 36

#: NodeACLs that lost their last LUN while their initiator was logged in.
emptied: set[Path] = set()


def drop_idle(acls: Iterable[Path]) -> None:
    """Remove the NodeACLs that have neither a LUN nor a session."""
    for acl in list(acls):
        if not acl.is_dir() or any(acl.glob('lun_*')):
            emptied.discard(acl)
        elif is_logged_in(acl):
            emptied.add(acl)
        else:
            emptied.discard(acl)
            with contextlib.suppress(FileNotFoundError):
                acl.rmdir()


def is_logged_in(acl: Path) -> bool:
    """Tell whether an initiator has a session with the target.

    Source: drivers/target/iscsi/iscsi_target_configfs.c,
    lio_target_nacl_info_show.
    """
    info = (acl / 'info').read_text()
    return not info.startswith('No active iSCSI Session')


def ensure_chap(acl: rtslib_fb.NodeACL, chap: dict[str, str]) -> None:
    """Set the CHAP names and secrets that differ.

    :param chap: checked.
    """
    for attribute, key in (('chap_userid', 'username'),
                           ('chap_password', 'password'),
                           ('chap_mutual_userid', 'mutual_username'),
                           ('chap_mutual_password', 'mutual_password')):
        if getattr(acl, attribute) != chap[key]:
            setattr(acl, attribute, chap[key])


def ensure_authentication(acl: Path, wanted: int) -> None:
    """Set whether a NodeACL asks for CHAP, where the kernel can (6.0).

    :param wanted: 1 it does, 0 it does not, -1 as its TPG does.
    """
    path = acl / 'attrib/authentication'
    if path.exists() and path.read_text().strip() != str(wanted):
        path.write_text(str(wanted))


def refuse_foreign(acl: Path, prefix: str) -> None:
    """Raise ForeignObject when another backend has mapped LUNs at a NodeACL.

    One LUN of a backend is enough to tell, since each was checked when it was
    mapped. Looking at all would make an attach slower with every volume.

    :param prefix: of the names of the backend's own backstores.
    """
    for mapped in acl.glob('lun_*'):
        link = links.target_of(mapped)
        store = link and links.target_of(link.resolve())
        name = store.resolve().name if store else ''
        # Any others belong to an administrator, who put them there knowingly.
        if not name.startswith('mydriver-'):
            continue
        if name[:-_UUID_LENGTH] != prefix:
            raise exception.ForeignObject(
                f'NodeACL {acl.name} of {acl.parents[2].name}',
                f'{mapped.name} leads to {name}')
        return

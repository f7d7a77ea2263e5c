# SPDX-License-Identifier: Apache-2.0
"""Commands that give a file to root, and let its service go on reading it.

They are printed by privileged code as well, so nothing else of this package
is imported here.
"""

import grp
import os
import pwd
import shlex
import stat


def for_user(path: str, found: os.stat_result | None, user: str, *,
             is_here: bool = True, is_secret: bool = True) -> str:
    """Return what gives a file or a directory to root, but lets a user read.

    A directory stays as open for reading as it is.

    :param path: of the file or directory.
    :param found: what it is, no link; None for a file that is still to be
        written.
    :param user: whom the service runs as.
    :param is_here: the users of this system count, not those of an image.
    :param is_secret: nobody else shall read the file, except a group that the
        user is in. Other files are programs, and stay as open as directories.
    """
    account = account_of(user) if is_here else None
    is_member = found is not None and _is_in(account, found.st_gid)
    group = (_group(found.st_gid) if found and is_member
             else group_of(user, is_here))
    if found is None or (is_secret and not stat.S_ISDIR(found.st_mode)):
        return _commands(path, f'root:{group}', '640')
    if not is_member and _is_open(found, is_entered=True):
        # The service gets in as everybody does, and so does the group.
        return _commands(path, 'root', 'go-w')
    return _commands(path, f'root:{group}', 'g+rx,go-w')


def for_owner(path: str, found: os.stat_result) -> str | None:
    """Return what gives something to root, but locks nobody out.

    It is not known here whom the service runs as. Whoever can read now can do
    so afterwards: the owner, the group, and all others.

    :param found: what it is, no link.
    :returns: None if that cannot be done with one group.
    """
    if not found.st_uid:
        return _commands(path, 'root', 'go-w')
    is_folder = stat.S_ISDIR(found.st_mode)
    read = 'g+rx' if is_folder else 'g+r'
    account = account_of(found.st_uid)
    if account and _is_in(account, found.st_gid):
        return _commands(path, f'root:{_group(found.st_gid)}',
                         f'{read},go-w')
    if _is_open(found, is_folder):
        return _commands(path, 'root', 'go-w')
    if account is None or (found.st_gid and found.st_mode & stat.S_IRGRP):
        return None
    return _commands(path, f'root:{_group(account.pw_gid)}', f'{read},go-w')


def group_of(user: str, is_here: bool = True) -> str:
    """Return the group of a service's user.

    :param is_here: see :func:`for_user`.
    :returns: the user's name if that is not known, as in packages.
    """
    account = account_of(user) if is_here else None
    return _group(account.pw_gid) if account else user


def _commands(path: str, owner: str, mode: str) -> str:
    """Return what sets owner and mode.

    The owner may have put a link there meanwhile. Root's link is no one's to
    change, so that what is looked at afterwards stays as it is. If the group
    does not exist, the mode is not changed either.
    """
    file = shlex.quote(path)
    return (f'chown -h {shlex.quote(owner)} {file} && [ ! -L {file} ] && '
            f'chmod {mode} {file}')


def _is_open(found: os.stat_result, is_entered: bool) -> bool:
    """Tell whether everybody can read it.

    :param is_entered: and enter or execute it.
    """
    needed = stat.S_IROTH | (stat.S_IXOTH if is_entered else 0)
    return found.st_mode & needed == needed


def account_of(user: str | int) -> pwd.struct_passwd | None:
    """Return the account of a user, None if there is none.

    :param user: name or id.
    """
    try:
        return (pwd.getpwnam(user) if isinstance(user, str)
                else pwd.getpwuid(user))
    except KeyError:
        return None


def _is_in(account: pwd.struct_passwd | None, gid: int) -> bool:
    return account is not None and gid in os.getgrouplist(
        account.pw_name, account.pw_gid)


def _group(gid: int) -> str:
    try:
        return grp.getgrgid(gid).gr_name
    except KeyError:
        return str(gid)

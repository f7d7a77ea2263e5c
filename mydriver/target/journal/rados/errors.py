# SPDX-License-Identifier: Apache-2.0
"""Why a journal in Ceph cannot be used, and the remedy."""

from collections.abc import Iterator
import contextlib
import errno

from mydriver import exception

_REMEDIES = {
    errno.ESHUTDOWN: 'Ceph has fenced this client (ceph osd blocklist ls). '
    'Restart the service once that is lifted.',
    errno.EPERM: 'Give the client the capabilities that the installation '
    'guide names (ceph auth get).',
    errno.ETIMEDOUT: 'See ceph -s. The change may be carried out yet; it is '
    'made again, or withdrawn, with the next call.',
}
_REMEDIES[errno.EACCES] = _REMEDIES[errno.EPERM]
_FULL = (errno.ENOSPC, errno.EDQUOT)


@contextlib.contextmanager
def translated(path: str) -> Iterator[None]:
    """Raise the errors of Ceph and of stored values as those of a journal.

    :param path: of the object: ``POOL/NAMESPACE/OBJECT``.
    :raises JournalError: for what does.
    """
    try:
        yield
    except exception.CephError as e:
        number = abs(getattr(e.__cause__, 'errno', 0) or 0)
        if number in _FULL:
            raise exception.JournalUnwritable(
                path, e.reason, 'Make room in the pool, or raise its quota '
                '(ceph df). The journal itself is intact.') from e
        raise exception.JournalUnusable(path, e.reason, _REMEDIES.get(
            number, 'See ceph -s, and that this host reaches the cluster.'
        )) from e


def damaged(path: str, reason: str) -> exception.JournalDamaged:
    """Return the error for an object that is damaged.

    :param path: of the object, and of the key in it if it is about one.
    """
    return exception.SharedJournalDamaged(path, reason.rstrip('.'))

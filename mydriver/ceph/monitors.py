# SPDX-License-Identifier: Apache-2.0
"""The addresses of a cluster's monitors, for hosts that connect by themselves.

They are those of the monitors' own map, not of ceph.conf, which may name only
some of them. The first version of the protocol is preferred, as in Cinder's
own RBD driver: clients of all ages understand it, and find the second by it.
"""

import json
from typing import Any

from mydriver import exception, model

_DUMP = json.dumps({'prefix': 'mon dump', 'format': 'json'})


def addresses(handle: Any) -> tuple[model.Portal, ...]:
    """Return one address of each monitor.

    :param handle: a connected ``rados.Rados``.
    :raises CephError: when the monitors do not tell.
    """
    number, output, text = handle.mon_command(_DUMP, b'')
    if number:
        raise exception.CephError('tell its monitors', text or str(number))
    try:
        found = tuple(_address(m) for m in json.loads(output)['mons'])
    except (ValueError, LookupError, TypeError, AttributeError,
            exception.InvalidPortal) as e:
        raise exception.CephError(
            'tell its monitors', f'the answer is not understood ({e})') from e
    if not found:
        raise exception.CephError('tell its monitors', 'there are none')
    return found


def _address(monitor: Any) -> model.Portal:
    known = {one['type']: one['addr']
             for one in monitor['public_addrs']['addrvec']}
    return model.Portal.parse(known.get('v1') or known['v2'])

# SPDX-License-Identifier: Apache-2.0
"""Checks of requests: targets, exports, mappings, CHAP, portals.

The results consist of checked values only, so that they can become paths.
"""

from typing import Any

from mydriver import model
from mydriver.privileged import grants, values

#: Kinds of backstore: LIO's plugins for files and block devices.
KINDS = frozenset(('fileio', 'iblock'))
#: The TPG attributes that callers may set.
_ATTRIBUTES = frozenset((
    'authentication', 'generate_node_acls', 'cache_dynamic_acls',
    'demo_mode_discovery', 'demo_mode_write_protect',
    'prod_mode_write_protect'))
#: MAX_USER_LEN, MAX_PASS_LEN of include/target/iscsi/iscsi_target_core.h.
_CHAP_MOST = 255
#: Ports from here on are open to any user
#: (net.ipv4.ip_unprivileged_port_start).
_FIRST_FREE_PORT = 1024


def lun(said: object) -> int:
    """Return the number of a LUN."""
    return values.integer(said, 'a LUN', 0, values.MOST_LUN)


def placed(said: object) -> dict[str, Any]:
    """Return the place of a volume's LUN and backstore."""
    given = values.fields(said, 'an export', 'target', 'lun', 'name',
                          'volume_id', 'kind')
    volume_id = values.volume_id(given['volume_id'])
    kind = values.text(given['kind'], 'a kind of backstore')
    if kind not in KINDS:
        values.refuse('a kind of backstore', values.shown(kind))
    return {'target': values.target(given['target']),
            'lun': lun(given['lun']), 'kind': kind, 'volume_id': volume_id,
            'name': values.backstore(given['name'], volume_id)}


def wanted(said: object) -> dict[str, Any]:
    """Return the export of a volume as requested.

    Its path is unchecked, for comparison with the right one only.
    """
    given = values.fields(said, 'an export', 'path', 'size_bytes')
    return {**placed(said), 'path': given['path'],
            'size_bytes': values.size_bytes(given['size_bytes'])}


def mapping(said: Any) -> dict[str, Any]:
    """Return a mapping: initiator, LUN, mode, and whether CHAP is asked for.

    Without ``authentication`` the TPG decides (-1).
    """
    given = values.fields(said, 'a mapping', 'initiator', 'lun', 'read_only')
    return {'initiator': values.iqn(given['initiator'], 'an initiator'),
            'lun': lun(given['lun']),
            'read_only': values.boolean(given['read_only'], 'read_only'),
            'authentication': values.integer(
                said.get('authentication', -1), 'authentication', -1, 1)}


def chap(said: object) -> dict[str, str] | None:
    """Return CHAP names and secrets; no error shows them."""
    if said is None:
        return None
    given = values.fields(said, 'CHAP', 'username', 'password',
                          'mutual_username', 'mutual_password')
    for name, value in given.items():
        if not (isinstance(value, str) and len(value) <= _CHAP_MOST
                and value.isascii() and value.isprintable()):
            values.refuse(f'CHAP {name}', 'it is not printable ASCII of at '
                          f'most {_CHAP_MOST} characters')
    return given


def portals(said: object) -> list[model.Portal]:
    """Return the portals of a target."""
    found = [values.portal(p) for p in values.items(said, 'portals', 64)]
    for portal in found:
        if (portal.port < _FIRST_FREE_PORT
                and portal.port not in grants.ports()):
            values.refuse('a portal',
                          f'port {portal.port} is not in target_port')
    return found


def attributes(said: object) -> dict[str, int]:
    """Return TPG attributes and their values."""
    given = values.fields(said, 'attributes',
                          *(said if isinstance(said, dict) else ()))
    for name, value in given.items():
        if name not in _ATTRIBUTES:
            values.refuse('an attribute', values.shown(name))
        values.integer(value, f'attribute {name}', 0, 1)
    return given

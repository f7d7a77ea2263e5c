# SPDX-License-Identifier: Apache-2.0
"""Keys and keyrings of cephx."""

import base64
from collections.abc import Iterable, Mapping
import secrets
import struct
import time

#: User -> capabilities.
Users = Mapping[str, Mapping[str, str]]

#: Users of the daemons.
DAEMONS: Users = {
    'mon.': {'mon': 'allow *'},
    'mgr.x': {'mon': 'allow profile mgr', 'osd': 'allow *', 'mds': 'allow *'},
    'osd.0': {'mon': 'allow profile osd', 'mgr': 'allow profile osd',
              'osd': 'allow *'},
}


def clients(pools: Iterable[str]) -> Users:
    """Return the users that clients have a keyring for.

    ``client.cinder`` has what Ceph's documentation gives to Cinder and Nova.

    :param pools: that it may use.
    """
    return {
        'client.admin': {'mon': 'allow *', 'osd': 'allow *', 'mgr': 'allow *'},
        'client.cinder': {
            'mon': 'profile rbd',
            'osd': ', '.join(f'profile rbd pool={pool}' for pool in pools),
            'mgr': 'profile rbd'},
    }


def generate() -> str:
    """Return a new key as base64.

    It is a ``CryptoKey`` (src/auth/Crypto.cc): type 1 (AES), time of creation,
    length, 16 random bytes.
    """
    now = time.time_ns()
    head = struct.pack('<HIIH', 1, now // 10**9, now % 10**9, 16)
    return base64.b64encode(head + secrets.token_bytes(16)).decode()


def keyring(keys: Mapping[str, str], users: Users) -> str:
    """Return the text of a keyring.

    :param keys: user -> key as base64.
    :param users: the users that it shall have.
    """
    lines = []
    for user, caps in users.items():
        lines += [f'[{user}]', f'\tkey = {keys[user]}']
        lines += [f'\tcaps {kind} = "{text}"' for kind, text in caps.items()]
    return '\n'.join(lines) + '\n'

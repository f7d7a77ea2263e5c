# SPDX-License-Identifier: Apache-2.0
"""What the driver has in Ceph besides images: intents, sessions, journal."""

from lab.ceph import admin
from lab.cloud import driver

_INTENTS = 'mydriver.intents'
_ATTACHES = 'mydriver.attaches'
_TARGET = 'mydriver.target.'
#: Records that exports and attachments have.
_ROWS = ('export/', 'mapping/', 'node/')


def sessions(ceph: admin.Admin) -> list[str]:
    """Return the sessions of services, ended ones too."""
    return [key for key in _keys(ceph, '', _INTENTS)
            if key.startswith(('session/', 'ended/'))]


def found(ceph: admin.Admin) -> list[str]:
    """Return what must not be there when there are no volumes."""
    pool = driver.CEPH_BACKEND_POOLS[driver.BACKEND]
    left = [f'intent of {key}' for key in _keys(ceph, '', _INTENTS)
            if not key.startswith('session/')]
    left += [f'attaches of {key}'
             for key in _keys(ceph, driver.NAMESPACE, _ATTACHES)]
    with ceph.cluster.open_ioctx(pool) as ioctx:
        ioctx.set_namespace(driver.NAMESPACE)
        targets = [o.key for o in ioctx.list_objects()
                   if o.key.startswith(_TARGET)]
    for target in targets:
        left += [f'{target} {key}' for prefix in _ROWS for key in _keys(
            ceph, driver.NAMESPACE, target, prefix)]
    return left


def _keys(ceph: admin.Admin, namespace: str, name: str, prefix: str = ''
          ) -> list[str]:
    return ceph.omap_keys(driver.CEPH_BACKEND_POOLS[driver.BACKEND],
                          namespace, name, prefix)

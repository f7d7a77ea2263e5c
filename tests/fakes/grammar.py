# SPDX-License-Identifier: Apache-2.0
"""Connections to a volume, and what hosts understand of them."""

import dataclasses

from mydriver import connection, model
from mydriver.connection import iscsi

VOLUME = '9480dfc5-bffe-464e-9658-22036e7a43fc'
PORTALS = (model.Portal('192.0.2.1'), model.Portal('2001:db8::1', 3261))
NOTHING = connection.Capabilities()
ALL = connection.Capabilities(verifies_wwn=True, mutual_chap=True)
TARGET = model.Iqn('iqn.2010-10.org.openstack:pool-0')
OTHER_TARGET = model.Iqn('iqn.2010-10.org.openstack:pool-1')
SIMPLE = iscsi.Connection(
    VOLUME, iscsi.paths(TARGET, PORTALS[:1], 7), wwn=model.naa_id(VOLUME))
FULL = dataclasses.replace(
    SIMPLE, paths=iscsi.paths(TARGET, PORTALS, 300), read_only=True,
    encrypted=True,
    chap=model.ChapCredentials('user', 'hidden1', 'target', 'hidden2'))
SPREAD = dataclasses.replace(SIMPLE, paths=(
    iscsi.Path(TARGET, PORTALS[0], 7),
    iscsi.Path(OTHER_TARGET, PORTALS[1], 300)))

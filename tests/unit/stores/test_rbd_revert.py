# SPDX-License-Identifier: Apache-2.0
"""A revert that another service's work overlaps, without a cluster."""

import contextlib
import unittest
from unittest import mock

from mydriver.ceph import cluster, omap
from mydriver.stores.rbd import images, reverts, room, store
from tests.fakes import omap as fakes

NAME = 'volume-11111111-2222-4333-8444-555555555555'
SNAPSHOT = 'snapshot-21111111-2222-4333-8444-555555555555'


class RevertTest(unittest.TestCase):
    """What was looked at before a name is claimed is looked at again."""

    def test_a_volume_that_was_extended_meanwhile_keeps_its_size(self):
        io, sizes = object(), {NAME: 1 << 30, SNAPSHOT: 1 << 30}
        its = store.RbdStore(cluster.Settings('volumes'))

        def let_down(_name):
            """Extend the volume: nothing has claimed it yet."""
            sizes[NAME] = 2 << 30

        with (mock.patch.object(its.pool, 'work',
                                return_value=contextlib.nullcontext(io)),
              mock.patch.object(its.intents, 'held',
                                return_value=contextlib.nullcontext()),
              mock.patch.object(its.keeper, 'start'),
              mock.patch.object(its.host, 'let_down', let_down),
              mock.patch.object(omap, 'within',
                                return_value=fakes.FakeObjects()),
              mock.patch.multiple(
                  images, id_of=lambda _io, name: name,
                  size_of=lambda _io, its_id: sizes[its_id],
                  watchers=lambda _io, _id: ()),
              mock.patch.object(room, 'refuse_when_full'),
              mock.patch.object(reverts, 'revert') as revert):
            its.revert(NAME, SNAPSHOT)
        self.assertEqual((NAME, SNAPSHOT, 2 << 30),
                         revert.call_args.args[3:6])

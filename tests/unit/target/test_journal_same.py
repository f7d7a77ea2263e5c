# SPDX-License-Identifier: Apache-2.0
"""Whatever is asked of them, both journals give the same answers.

But for two things that are nobody's business: which LUN of the TPG is next
after one was adopted, and which LUN of an initiator after several that were
never used were taken back.
"""

import unittest
import uuid

import fixtures
import hypothesis
from hypothesis import strategies

from mydriver import exception, model
from mydriver.target.journal import sqlite
from mydriver.target.journal.rados import journal as rados
from mydriver.target.journal.rados import targets
from tests.contract.journal import ALICE, BOB, OTHER, TARGET
from tests.fakes import notify, omap

VOLUMES = tuple(str(uuid.UUID(int=n)) for n in range(4))
KIND = model.NodeKind(True, False, 'a' * 16, frozenset(['192.0.2.1:3260']))

_volumes = strategies.sampled_from(VOLUMES)
_initiators = strategies.sampled_from((ALICE, BOB))
_targets = strategies.sampled_from((TARGET, OTHER))
_bools = strategies.booleans()
_luns = strategies.integers(1, 6)
_sizes = strategies.integers(1, 2).map(lambda n: n << 20)
#: A method and its arguments, in primitives.
_calls = strategies.one_of(
    strategies.tuples(strategies.just('add_export'), _volumes, _sizes,
                      _targets),
    strategies.tuples(strategies.just('remove_export'), _volumes),
    strategies.tuples(strategies.just('add_mapping'), _volumes, _initiators,
                      _bools, _bools, _bools),
    strategies.tuples(strategies.just('doom'), _volumes, _initiators),
    strategies.tuples(strategies.just('remove_mapping'), _volumes,
                      _initiators),
    strategies.tuples(strategies.just('adopt_mapping'), _volumes,
                      _initiators, _luns),
    strategies.tuples(strategies.just('set_kind'), _initiators, _targets,
                      _bools),
    strategies.tuples(strategies.just('remove_target'), _targets))


def call(journal, name, *args):
    """Call a method; return its result, or the kind of its error."""
    try:
        match name, args:
            case 'add_export', (volume_id, size, target):
                journal.add_targets([target])
                return journal.add_export(volume_id, model.BackingDevice(
                    'iblock', '/dev/x', size), target)
            case 'add_mapping', (volume_id, initiator, read_only, mutual,
                                 keep):
                return journal.add_mapping(
                    volume_id, initiator, read_only=read_only, mutual=mutual,
                    keep_writable=keep, kind=KIND)
            case 'adopt_mapping', (volume_id, initiator, lun):
                return journal.adopt_mapping(
                    journal.export(volume_id),
                    model.Mapping(volume_id, initiator, lun), False, KIND)
            case 'set_kind', (initiator, target, chap):
                return journal.set_kind(model.Node(
                    initiator, target, model.NodeKind(chap)))
            case _:
                return getattr(journal, name)(*args)
    except (exception.CallerError, exception.OperatorError) as e:
        return type(e)


class SameTest(unittest.TestCase):
    """The sqlite journal, and the one in Ceph on objects in memory."""

    @hypothesis.given(strategies.lists(_calls, max_size=40))
    @hypothesis.settings(derandomize=True, database=None, deadline=None,
                         max_examples=150)
    def test_same_answers(self, calls):
        with fixtures.TempDir() as folder:
            local = sqlite.SqliteJournal(
                folder.join('journal.sqlite'), 'run', lambda: 1000)
            shared = rados.RadosJournal(
                omap.FakeObjects(), 'cluster', targets.Run('host', 'run'),
                notify.FakeNotices(), lambda: 1000)
            shared.create()
            try:
                for journal in (local, shared):
                    journal.add_targets([TARGET, OTHER])
                for one in calls:
                    self.assertEqual(call(local, *one), call(shared, *one),
                                     one)
                for read in ('targets', 'exports', 'mappings',
                             'earlier_mappings', 'nodes'):
                    self.assertEqual(getattr(local, read)(),
                                     getattr(shared, read)(), read)
            finally:
                local.close()

# SPDX-License-Identifier: Apache-2.0
"""The contract of kernel targets: one suite for the fake and for LIO."""

import dataclasses
import os
from typing import TYPE_CHECKING, Any, Protocol
import unittest
import uuid

from mydriver import exception, model
from mydriver.target import configfs, kernel

IQN = model.Iqn('iqn.2010-10.org.openstack:mydriver-contract-0')
INITIATOR = model.Iqn('iqn.1993-08.org.debian:01:contract-a')
OTHER = model.Iqn('iqn.1993-08.org.debian:01:contract-b')
PORTALS = (model.Portal('127.0.0.1'), model.Portal('127.0.0.2', 3261))
MIB = 1 << 20


if TYPE_CHECKING:
    _Case = unittest.TestCase
else:
    _Case = object


class TestedTarget(kernel.KernelTarget, Protocol):
    """A target, and the prefix of the names of its backstores."""

    name_prefix: str


class TargetMaker(_Case):
    """Mix it into a TestCase that sets ``target`` and ``folder``."""

    target: TestedTarget
    folder: str

    def device(self, volume_id: str, size_bytes: int = 16 * MIB
               ) -> model.BackingDevice:
        """Return a volume's new backing file."""
        path = os.path.join(self.folder, f'volume-{volume_id}')
        with open(path, 'wb') as f:
            f.truncate(size_bytes)
        return model.BackingDevice('fileio', path, size_bytes)

    def export(self, lun: int = 0, **changes: Any) -> model.Export:
        """Return an export that does not exist yet."""
        volume_id = str(uuid.uuid4())
        return dataclasses.replace(model.Export(
            volume_id, self.device(volume_id), IQN, lun), **changes)

    def mapped(self, export: model.Export, lun: int = 1,
               initiator: model.Iqn = INITIATOR, read_only: bool = False,
               chap: bool | None = None) -> model.MappedExport:
        """Return a mapping that does not exist yet."""
        return model.MappedExport(
            model.Mapping(export.volume_id, initiator, lun, read_only),
            export, kind=model.NodeKind(chap))

    def make_stranger(self, iqn: model.Iqn) -> None:
        """Create a target as an administrator does."""
        self.target.ensure_pool([iqn])

    @staticmethod
    def secrets(mutual: bool = False, password: str = 'p' * 16
                ) -> model.ChapCredentials:
        """Return credentials."""
        more = (str(IQN), 'm' * 16) if mutual else (None, None)
        return model.ChapCredentials(str(INITIATOR), password, *more)

    def password(self, initiator: model.Iqn = INITIATOR) -> str | None:
        """Return the password of a NodeACL, if there is one."""
        raise NotImplementedError

    def log_in(self, initiator: model.Iqn) -> None:
        """Log an initiator in to the target."""
        raise NotImplementedError

    def log_out(self, initiator: model.Iqn) -> None:
        """Log it out, and wait until the target has noticed."""
        raise NotImplementedError

    def seen(self) -> configfs.SeenTarget:
        """Return the objects of the target."""
        seen = self.target.observe(IQN)
        assert seen is not None
        return seen


class TargetContract(TargetMaker):
    """The suite."""

    def test_check_passes(self) -> None:
        self.assertEqual([], self.target.check())

    def test_unknown_target_is_not_seen(self) -> None:
        self.assertIsNone(self.target.observe(
            model.Iqn('iqn.2010-10.org.openstack:mydriver-nowhere-0')))

    def test_pool_twice(self) -> None:
        for _ in range(2):
            self.target.ensure_pool([IQN])
            seen = self.seen()
            self.assertTrue(seen.enabled)
            self.assertEqual({'127.0.0.1:3260', '127.0.0.2:3261'},
                             seen.portals)
            self.assertEqual((), seen.exports)

    def test_create_lets_nobody_in(self) -> None:
        new = model.Iqn(f'{IQN}9')
        for _ in range(2):
            self.target.create([new])
            self.assertIn(str(new), self.target.names())
            self.assertEqual(frozenset(), self.target.listening(new))
        self.target.ensure_pool([new])
        self.assertEqual(self.target.listening(IQN),
                         self.target.listening(new))
        # Those that exist stay as they are.
        self.target.create([new])
        self.assertEqual(self.target.listening(IQN),
                         self.target.listening(new))
        self.assertTrue(self.target.drop_target(new))

    def test_it_listens_at_its_portals(self) -> None:
        self.assertEqual({'127.0.0.1:3260', '127.0.0.2:3261'},
                         self.target.listening(IQN))
        self.assertEqual(frozenset(), self.target.listening(
            model.Iqn('iqn.2010-10.org.openstack:mydriver-nowhere-0')))

    def test_export_twice(self) -> None:
        export = self.export(3)
        for _ in range(2):
            self.target.ensure_export(export)
            seen, = self.seen().exports
            self.assertEqual(
                (3, self.target.name_prefix + export.volume_id, 'fileio',
                 export.volume_id, export.device.path, 16 * MIB),
                dataclasses.astuple(seen))

    def test_export_at_a_taken_lun_is_refused(self) -> None:
        first = self.export()
        self.target.ensure_export(first)
        self.assertRaises(exception.ForeignObject, self.target.ensure_export,
                          self.export())
        self.assertEqual([first.volume_id],
                         [e.serial for e in self.seen().exports])

    def test_export_of_another_device_under_the_same_id_is_refused(
            self) -> None:
        first = self.export()
        self.target.ensure_export(first)
        other = dataclasses.replace(
            first, device=self.device(str(uuid.uuid4())))
        self.assertRaises((exception.ForeignObject, exception.RequestRefused),
                          self.target.ensure_export, other)
        self.assertEqual([first.device.path],
                         [e.path for e in self.seen().exports])

    def test_export_without_its_file_is_refused(self) -> None:
        export = self.export()
        os.unlink(export.device.path)
        self.assertRaises(exception.TargetError, self.target.ensure_export,
                          export)
        self.assertEqual((), self.seen().exports)
        self.assertFalse(os.path.exists(export.device.path))

    def test_export_of_a_short_file_is_refused(self) -> None:
        export = self.export()
        os.truncate(export.device.path, MIB)
        self.assertRaises(exception.TargetError, self.target.ensure_export,
                          export)
        self.assertEqual((), self.seen().exports)

    def test_export_at_an_unknown_target_is_refused(self) -> None:
        export = self.export(
            target=model.Iqn('iqn.2010-10.org.openstack:mydriver-nowhere-0'))
        self.assertRaises(exception.TargetError, self.target.ensure_export,
                          export)

    def test_drop_export_twice(self) -> None:
        export = self.export()
        self.target.ensure_export(export)
        for _ in range(2):
            self.target.drop_export(export)
            self.assertEqual((), self.seen().exports)

    def test_drop_export_leaves_another_at_its_lun(self) -> None:
        export = self.export()
        self.target.ensure_export(export)
        self.target.drop_export(self.export())
        self.assertEqual([export.volume_id],
                         [e.serial for e in self.seen().exports])

    def test_mapping_makes_all(self) -> None:
        export = self.export(7)
        for _ in range(2):
            self.target.ensure_mapping(self.mapped(export, lun=300))
            seen = self.seen()
            self.assertEqual([(7, export.volume_id)],
                             [(e.lun, e.serial) for e in seen.exports])
            self.assertEqual({str(INITIATOR)}, seen.acls)
            mapping, = seen.mappings
            self.assertEqual((str(INITIATOR), 300, 7, False),
                             dataclasses.astuple(mapping))

    def test_mapping_read_only_and_back(self) -> None:
        export = self.export()
        for read_only in (True, False, True):
            self.target.ensure_mapping(
                self.mapped(export, read_only=read_only))
            self.assertEqual([read_only],
                             [m.read_only for m in self.seen().mappings])

    def test_mapping_at_a_taken_lun_is_refused(self) -> None:
        first, second = self.export(0), self.export(1)
        self.target.ensure_mapping(self.mapped(first))
        self.assertRaises(exception.ForeignObject,
                          self.target.ensure_mapping, self.mapped(second))
        mapping, = self.seen().mappings
        self.assertEqual(0, mapping.tpg_lun)

    def test_mutual_chap_is_told(self) -> None:
        export = self.export()
        self.target.ensure_mapping(self.mapped(export), self.secrets(True))
        self.target.ensure_mapping(self.mapped(export, initiator=OTHER),
                                   self.secrets())
        self.assertTrue(self.target.is_mutual(IQN, INITIATOR))
        self.assertFalse(self.target.is_mutual(IQN, OTHER))

    def test_mutual_chap_can_be_taken_back(self) -> None:
        export = self.export()
        for mutual in (True, False):
            self.target.ensure_mapping(self.mapped(export),
                                       self.secrets(mutual))
            self.assertEqual(mutual, self.target.is_mutual(IQN, INITIATOR))

    def test_each_acl_has_its_own_kind_of_chap(self) -> None:
        export = self.export()
        for kinds in ((True, False), (False, True)):
            for initiator, chap in zip((INITIATOR, OTHER), kinds,
                                       strict=True):
                self.target.ensure_mapping(self.mapped(
                    export, initiator=initiator, chap=chap), self.secrets())
            self.target.ensure_pool([IQN])
            self.assertEqual(
                {str(i) for i, chap in zip((INITIATOR, OTHER), kinds,
                                           strict=True) if chap},
                self.seen().authenticated)

    def test_an_acl_without_a_kind_has_that_of_its_target(self) -> None:
        self.target.ensure_mapping(self.mapped(self.export()))
        self.assertEqual({str(INITIATOR)}, self.seen().authenticated)

    def test_no_secrets_leave_those_that_are_there(self) -> None:
        placed = self.mapped(self.export(), chap=True)
        self.target.ensure_mapping(placed, self.secrets())
        self.target.ensure_mapping(placed)
        self.assertEqual('p' * 16, self.password())

    def test_what_is_refused_changes_no_secret(self) -> None:
        first, second = self.export(0), self.export(1)
        self.target.ensure_mapping(self.mapped(first), self.secrets())
        for lun in (0, 1):
            with self.assertRaises(exception.ForeignObject):
                self.target.ensure_mapping(
                    self.mapped(self.export(lun) if lun == 0 else second),
                    self.secrets(password='q' * 16))
            self.assertEqual('p' * 16, self.password())

    def test_the_acl_of_another_backend_is_left_alone(self) -> None:
        self.target.ensure_mapping(self.mapped(self.export()),
                                   self.secrets())
        self.target.name_prefix = 'mydriver-other-'
        before = self.seen()
        with self.assertRaises(exception.ForeignObject) as caught:
            self.target.ensure_mapping(self.mapped(self.export(1), lun=2),
                                       self.secrets(password='q' * 16))
        self.assertIn('mydriver-contract-', str(caught.exception))
        self.assertEqual(before, self.seen())
        self.assertEqual('p' * 16, self.password())

    def test_an_unused_target_goes(self) -> None:
        before = self.target.names()
        for _ in range(2):
            self.assertTrue(self.target.drop_target(IQN))
            self.assertIsNone(self.target.observe(IQN))
        self.assertEqual([str(IQN)], before)
        self.target.ensure_pool([IQN])
        self.assertEqual((), self.seen().exports)

    def test_a_target_with_anything_stays(self) -> None:
        export = self.export()
        self.target.ensure_export(export)
        self.assertFalse(self.target.drop_target(IQN))
        self.target.ensure_mapping(self.mapped(export))
        self.assertFalse(self.target.drop_target(IQN))
        self.assertEqual(1, len(self.seen().mappings))
        self.assertEqual(PORTALS, tuple(sorted(
            model.Portal.parse(p) for p in self.target.listening(IQN))))

    def test_a_disabled_target_keeps_its_objects(self) -> None:
        self.target.ensure_mapping(self.mapped(self.export()),
                                   self.secrets())
        before = self.seen()
        for _ in range(2):
            self.assertTrue(self.target.disable(IQN))
            self.assertEqual(frozenset(), self.target.listening(IQN))
            self.assertEqual(dataclasses.replace(before, enabled=False),
                             self.seen())
        for _ in range(2):
            self.target.ensure_pool([IQN])
            self.assertEqual(before, self.seen())

    def test_a_target_that_is_not_there_is_disabled(self) -> None:
        self.assertTrue(self.target.drop_target(IQN))
        self.assertTrue(self.target.disable(IQN))
        self.assertIsNone(self.target.observe(IQN))

    def test_a_target_that_no_backend_made_stays(self) -> None:
        other = model.Iqn('iqn.2003-01.org.linux-iscsi.stranger:disk')
        self.make_stranger(other)
        self.assertRaises(exception.RequestRefused, self.target.drop_target,
                          other)
        self.assertIsNotNone(self.target.observe(other))

    def test_more_portals(self) -> None:
        more = model.Portal('127.0.0.3', 3262)
        for _ in range(2):
            self.target.ensure_pool([IQN], {IQN: [more]})
            self.assertEqual({str(p) for p in (*PORTALS, more)},
                             self.target.listening(IQN))

    def test_acl_goes_with_its_last_lun(self) -> None:
        first, second = self.export(0), self.export(1)
        self.target.ensure_mapping(self.mapped(first, lun=1))
        self.target.ensure_mapping(self.mapped(second, lun=2))
        self.target.ensure_mapping(self.mapped(first, initiator=OTHER))
        self.target.drop_mapping(self.mapped(first))
        self.assertEqual({str(INITIATOR), str(OTHER)}, self.seen().acls)
        for _ in range(2):
            self.target.drop_mapping(self.mapped(second, lun=2))
            self.assertEqual({str(OTHER)}, self.seen().acls)
        self.assertEqual([str(OTHER)],
                         [m.initiator for m in self.seen().mappings])

    def test_acl_of_a_session_stays_until_the_session_ends(self) -> None:
        other = self.mapped(self.export(1), initiator=OTHER)

        def map_again() -> None:
            self.target.ensure_mapping(other)

        def unmap_again() -> None:
            self.target.drop_mapping(self.mapped(export))

        for later in (unmap_again, map_again,
                      lambda: self.target.ensure_pool([IQN])):
            export = self.export()
            self.target.ensure_mapping(self.mapped(export), self.secrets())
            self.log_in(INITIATOR)
            self.target.drop_mapping(self.mapped(export))
            self.assertEqual([], [m for m in self.seen().mappings
                                  if m.initiator == str(INITIATOR)])
            self.assertIn(str(INITIATOR), self.seen().acls)
            later()
            self.log_out(INITIATOR)
            later()
            self.assertNotIn(str(INITIATOR), self.seen().acls)
            self.target.drop_export(export)

    def test_acl_of_a_session_is_used_again(self) -> None:
        export = self.export()
        self.target.ensure_mapping(self.mapped(export), self.secrets())
        self.log_in(INITIATOR)
        self.target.drop_mapping(self.mapped(export))
        self.target.ensure_mapping(self.mapped(export, lun=2))
        self.log_out(INITIATOR)
        self.target.ensure_pool([IQN])
        self.assertEqual([(str(INITIATOR), 2)], [
            (m.initiator, m.lun) for m in self.seen().mappings])

    def test_drop_mapping_leaves_another_at_its_lun(self) -> None:
        first, second = self.export(0), self.export(1)
        self.target.ensure_mapping(self.mapped(first))
        self.target.ensure_export(second)
        self.target.drop_mapping(self.mapped(second))
        mapping, = self.seen().mappings
        self.assertEqual((1, 0), (mapping.lun, mapping.tpg_lun))

    def test_drop_export_while_mapped_is_refused(self) -> None:
        export = self.export()
        self.target.ensure_mapping(self.mapped(export))
        self.assertRaises(exception.TargetError, self.target.drop_export,
                          export)
        self.assertEqual(1, len(self.seen().mappings))
        self.assertEqual(1, len(self.seen().exports))
        self.target.drop_mapping(self.mapped(export))
        self.target.drop_export(export)
        self.assertEqual((), self.seen().exports)

    def test_resize(self) -> None:
        export = self.export()
        self.target.ensure_mapping(self.mapped(export))
        os.truncate(export.device.path, 32 * MIB)
        grown = dataclasses.replace(export, device=dataclasses.replace(
            export.device, size_bytes=32 * MIB))
        for _ in range(2):
            self.target.resize(grown)
            self.assertEqual([32 * MIB],
                             [e.size_bytes for e in self.seen().exports])

    def test_resize_beyond_the_file_is_refused(self) -> None:
        export = self.export()
        self.target.ensure_export(export)
        grown = dataclasses.replace(export, device=dataclasses.replace(
            export.device, size_bytes=32 * MIB))
        self.assertRaises(exception.TargetError, self.target.resize, grown)
        self.assertEqual([16 * MIB],
                         [e.size_bytes for e in self.seen().exports])

    def test_ensure_export_brings_the_size_up(self) -> None:
        export = self.export()
        self.target.ensure_export(export)
        os.truncate(export.device.path, 32 * MIB)
        grown = dataclasses.replace(export, device=dataclasses.replace(
            export.device, size_bytes=32 * MIB))
        self.target.ensure_export(grown)
        self.assertEqual([32 * MIB],
                         [e.size_bytes for e in self.seen().exports])

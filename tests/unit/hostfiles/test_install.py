# SPDX-License-Identifier: Apache-2.0
"""Installing and removing: nothing is lost, and nothing is left."""

import os
import shutil
from unittest import mock

import ddt

from mydriver import exception
from mydriver.hostfiles import (
    catalogue,
    choices,
    entries,
    manifest,
    planning,
    privsep,
    removing,
)
from mydriver.hostfiles import root as roots
from mydriver.hostfiles.planning import State
from tests.fakes import hostroot

SUDOERS = '/etc/sudoers.d/mydriver-storage'
MODULES = '/etc/modules-load.d/mydriver-storage.conf'
UNIT = f'{catalogue.UNITS}/{catalogue.RESTORE}'
SAMPLE = '/etc/mydriver/cinder.conf.sample'

#: What changes a root.
_CALLS = ('write', 'remove', 'make_folder', 'remove_folder')


class Crash(BaseException):
    """The process ends."""


class InstallTest(hostroot.SetupTestCase):
    """Putting files in place."""

    def test_what_is_there_afterwards(self):
        done = self.install()
        wanted = catalogue.files(choices.choose(self.KIND, self.OPTIONS))
        self.assertEqual([f.path for f in wanted],
                         [c.path for c in done.changed])
        for file in wanted:
            found = self.root.read(file.path)
            self.assertEqual((file.content, file.mode),
                             (found.content, found.mode), file.path)
        self.assertEqual({f.path: (f.mode, entries.digest(f.content))
                          for f in wanted},
                         {p: (e.mode, e.sha256)
                          for p, e in self.made().files.items()})
        self.assertTrue((self.folder / 'etc/target/pr').is_dir())

    def test_twice_changes_nothing(self):
        self.install()
        before, inodes = self.tree(), self.inodes()
        done = self.install()
        self.assertEqual(([], []), (done.changed, done.kept))
        self.assertEqual((before, inodes), (self.tree(), self.inodes()))

    def inodes(self):
        """Return what tells whether a file was written again."""
        return {str(p): (p.lstat().st_ino, p.lstat().st_mtime_ns)
                for p in self.folder.rglob('*')}

    def test_other_options_change_what_they_concern(self):
        self.install()
        done = self.install(store=['lvmthin'])
        dropin = f'{UNIT}.d/lvmthin.conf'
        self.assertEqual([MODULES, SAMPLE, UNIT, dropin],
                         [c.path for c in done.changed])
        done = self.install()
        self.assertIn((dropin, State.OBSOLETE),
                      [(c.path, c.state) for c in done.changed])
        self.assertFalse(self.is_there(dropin))
        self.assertNotIn(dropin, self.made().files)

    def test_a_unit_that_is_no_longer_needed_is_not_left_enabled(self):
        self.install()
        wants = self.folder / catalogue.UNITS.lstrip(
            '/') / 'multi-user.target.wants'
        wants.mkdir()
        (wants / catalogue.RESTORE).symlink_to(UNIT)
        self.install(gateway=True)
        self.assertEqual([], os.listdir(wants))
        self.assertNotIn(UNIT, self.made().files)

    def test_a_file_that_was_deleted_comes_back(self):
        self.install()
        os.unlink(self.folder / MODULES.lstrip('/'))
        self.assertEqual([MODULES], [c.path for c in self.install().changed])

    def test_a_wrong_mode_is_corrected(self):
        self.install()
        os.chmod(self.folder / SUDOERS.lstrip('/'), 0o644)
        self.assertEqual([SUDOERS], [c.path for c in self.install().changed])
        self.assertEqual(0o440, self.root.read(SUDOERS).mode)

    def test_a_changed_file_is_kept(self):
        self.install()
        self.put(UNIT, 'mine')
        done = self.install(store=['rbd'])
        self.assertEqual([(UNIT, State.CHANGED)],
                         [(c.path, c.state) for c in done.kept])
        self.assertEqual('mine', self.get(UNIT))
        self.assertIn('\nrbd\n', self.get(MODULES))

    def test_a_changed_file_that_is_not_needed_is_kept(self):
        self.install(store=['lvmthin'])
        self.put(f'{UNIT}.d/lvmthin.conf', 'mine')
        done = self.install(force=True)
        self.assertEqual([f'{UNIT}.d/lvmthin.conf'],
                         [c.path for c in done.kept])

    def test_files_of_others_are_not_overwritten(self):
        self.put(UNIT, 'theirs')
        self.put(SUDOERS, 'theirs', 0o440)
        before = self.tree()
        with self.assertRaises(exception.ConfigurationError) as caught:
            self.install()
        self.assertIn(UNIT, str(caught.exception))
        self.assertIn(SUDOERS, str(caught.exception))
        self.assertEqual(before, self.tree())

    def test_a_link_in_place_of_a_file(self):
        (self.folder / UNIT.lstrip('/')).symlink_to('/dev/null')
        before = self.tree()
        with self.assertRaisesRegex(exception.ConfigurationError,
                                    'symbolic link'):
            self.install(force=True)
        self.assertEqual(before, self.tree())

    def test_what_visudo_refuses_is_not_installed(self):
        before = self.tree()
        with mock.patch.object(privsep, 'rule', return_value='cinder ALL='), \
                self.assertRaisesRegex(exception.ConfigurationError,
                                       'visudo refuses.*syntax error'):
            self.install()
        self.assertEqual(before, self.tree())

    def test_without_visudo(self):
        before = self.tree()
        with mock.patch.object(shutil, 'which', return_value=None), \
                self.assertRaisesRegex(exception.ConfigurationError,
                                       'Install the package sudo'):
            self.install()
        self.assertEqual(before, self.tree())

    def test_root_needs_no_visudo(self):
        with mock.patch.object(shutil, 'which', return_value=None):
            self.install(user='root')
        self.assertFalse(self.is_there(SUDOERS))


@ddt.ddt
class RemoveTest(hostroot.SetupTestCase):
    """Taking files back."""

    def remove(self, kind=choices.STORAGE, force=False):
        """Remove what was made."""
        return removing.remove(self.root, self.made(kind), force)

    @ddt.data({}, {'store': ['lvmthin', 'rbd'], 'gateway': True},
              {'user': 'root'})
    def test_the_root_is_as_it_was(self, options):
        self.put('/etc/mydriver/other', 'theirs')
        self.put(f'{catalogue.UNITS}/target.service.d/other.conf', 'theirs')
        before = self.tree()
        self.install(**options)
        self.remove()
        self.assertEqual(before, self.tree())
        self.assertIsNone(manifest.load(self.root, choices.STORAGE))

    def test_it_is_as_it_was_without_any_directory(self):
        for folder in ('etc', 'var'):
            shutil.rmtree(self.folder / folder)
        self.install()
        self.remove()
        self.assertEqual({}, self.tree())

    @ddt.data([0, 1], [1, 0])
    def test_both_kinds_share_directories(self, order):
        before = self.tree()
        for kind in choices.KINDS:
            self.install(kind)
        for number in order:
            self.remove(choices.KINDS[number])
        self.assertEqual(before, self.tree())

    def test_what_is_left_of_one_kind_is_complete(self):
        self.install(choices.COMPUTE)
        before = self.tree()
        self.install()
        self.remove()
        self.assertEqual(before, self.tree())

    def test_a_changed_file_is_kept_until_somebody_decides(self):
        before = self.tree()
        self.install()
        self.put(SUDOERS, 'mine', 0o440)
        for _ in range(2):
            self.assertEqual([SUDOERS], self.remove().kept)
            self.assertEqual('mine', self.get(SUDOERS))
            self.assertFalse(self.is_there(UNIT))
        self.remove(force=True)
        self.assertEqual(before, self.tree())

    def test_a_kept_file_that_is_deleted_by_hand(self):
        before = self.tree()
        self.install()
        self.put(SUDOERS, 'mine', 0o440)
        self.remove()
        os.unlink(self.folder / SUDOERS.lstrip('/'))
        self.assertEqual([], self.remove().kept)
        self.assertEqual(before, self.tree())

    def test_directories_in_use_are_kept(self):
        self.install()
        self.put('/etc/target/pr/aptpl_1', 'of the kernel')
        self.remove()
        self.assertEqual('of the kernel', self.get('/etc/target/pr/aptpl_1'))
        self.assertFalse(self.is_there('/etc/mydriver'))

    def test_what_was_there_comes_back(self):
        self.put(UNIT, 'theirs', 0o600)
        self.put(SUDOERS, 'also theirs', 0o440)
        before = self.tree()
        self.install(force=True)
        self.assertIn('ExecStart=', self.get(UNIT))
        backups = self.folder / manifest.BACKUPS.lstrip('/')
        self.assertEqual(0o700, backups.stat().st_mode & 0o777)
        done = self.remove()
        self.assertEqual([SUDOERS, UNIT], done.restored)
        self.assertEqual(before, self.tree())

    def test_the_oldest_comes_back_and_the_others_are_named(self):
        self.put(UNIT, 'theirs')
        self.install(force=True)
        self.put(UNIT, 'edited')
        self.install(force=True)
        self.assertIn('ExecStart=', self.get(UNIT))
        done = self.remove()
        self.assertEqual('theirs', self.get(UNIT))
        copy, = done.copies
        self.assertEqual('edited', self.get(copy))

    def test_a_missing_copy_is_an_error(self):
        self.put(UNIT, 'theirs')
        self.install(force=True)
        backup, = self.made().files[UNIT].backups
        os.unlink(self.folder / backup.path.lstrip('/'))
        with self.assertRaisesRegex(exception.ConfigurationError, 'missing'):
            self.remove()
        self.assertIn('ExecStart=', self.get(UNIT))

    def test_units_are_not_left_enabled(self):
        wants = self.folder / catalogue.UNITS.lstrip(
            '/') / 'multi-user.target.wants'
        wants.mkdir()
        (wants / 'other.service').symlink_to('/lib/other.service')
        before = self.tree()
        self.install()
        (wants / catalogue.RESTORE).symlink_to(UNIT)
        self.remove()
        self.assertEqual(before, self.tree())

    def test_a_unit_that_is_restored_stays_enabled(self):
        self.put(UNIT, 'theirs')
        wants = self.folder / catalogue.UNITS.lstrip(
            '/') / 'multi-user.target.wants'
        wants.mkdir()
        (wants / catalogue.RESTORE).symlink_to(UNIT)
        before = self.tree()
        self.install(force=True)
        self.remove()
        self.assertEqual(before, self.tree())


class CrashTest(hostroot.SetupTestCase):
    """An end at any point; then the command is run again."""

    def setUp(self):
        super().setUp()
        self.put(UNIT, 'theirs')
        self.before = self.tree()

    def crash(self, number, function):
        """Call a function; end it at a change of the root.

        :param number: how many changes are made before.
        :returns: whether it was ended.
        """
        left = number

        def counted(call):
            def changed(*args, **options):
                nonlocal left
                if not left:
                    raise Crash
                left -= 1
                return call(*args, **options)
            return changed

        with mock.patch.multiple(roots.Root, **{
                name: counted(getattr(roots.Root, name))
                for name in _CALLS}):
            try:
                function()
            except Crash:
                return True
        return False

    def clear(self):
        """Begin again with what was there."""
        shutil.rmtree(self.folder)
        self.folder.mkdir()
        for name in ('etc/sudoers.d', 'etc/systemd/system', 'var/lib'):
            (self.folder / name).mkdir(parents=True)
        self.put(UNIT, 'theirs')

    def each(self, function, check, prepare=lambda: None):
        """Try each point of a function; a check follows."""
        number = 0
        while True:
            self.clear()
            prepare()
            if not self.crash(number, function):
                break
            with self.subTest(number):
                check(number)
            number += 1
        self.assertGreater(number, 10)

    def test_install_and_install(self):
        self.install(force=True)
        wanted = self.tree()

        def check(number):
            self.install(force=True)
            # After the very first call, nobody knows who made /var/lib/...
            if number != 1:
                self.assertEqual(wanted, self.tree())
            removing.remove(self.root, self.made())
            if number != 1:
                self.assertEqual(self.before, self.tree())

        self.each(lambda: self.install(force=True), check)

    def test_install_and_remove(self):
        def check(_number):
            made = manifest.load(self.root, self.KIND)
            if made is not None:
                done = removing.remove(self.root, made)
                self.assertEqual([], done.kept)
                self.assertEqual(self.before, self.tree())
            self.assertEqual('theirs', self.get(UNIT))

        self.each(lambda: self.install(force=True), check)

    def test_update_and_update(self):
        options = {'store': ['lvmthin', 'rbd'], 'gateway': True}
        self.install(force=True)
        self.install(**options)
        wanted = self.tree()

        def check(_number):
            done = self.install(**options)
            self.assertEqual([], done.kept)
            self.assertEqual(wanted, self.tree())

        self.each(lambda: self.install(**options), check,
                  lambda: self.install(force=True))

    def test_remove_and_remove(self):
        def check(_number):
            made = manifest.load(self.root, self.KIND)
            if made is not None:
                removing.remove(self.root, made)
                self.assertEqual(self.before, self.tree())
            self.assertEqual('theirs', self.get(UNIT))
            self.assertFalse(self.is_there(SUDOERS))

        self.each(lambda: removing.remove(self.root, self.made()), check,
                  lambda: self.install(force=True))


class DiffTest(hostroot.SetupTestCase):
    """What would change."""

    def diffs(self, **options):
        """Return the lines by path."""
        chosen = choices.choose(self.KIND, {**self.OPTIONS, **options})
        made = (manifest.load(self.root, self.KIND)
                or manifest.Manifest(self.KIND))
        return {c.path: [*planning.diff(c)] for c in planning.plan(
            self.root, made, catalogue.files(chosen)) if c.differs}

    def test_new_files(self):
        found = self.diffs()[MODULES]
        self.assertEqual(
            [f'new file {MODULES}, mode 0644', '--- /dev/null',
             f'+++ {MODULES}', '@@ -0,0 +1,4 @@'], found[:4])
        self.assertIn('+target_core_mod', found)
        self.assertFalse(self.is_there(MODULES))

    def test_changed_and_obsolete_files(self):
        self.install(store=['lvmthin'])
        os.chmod(self.folder / SUDOERS.lstrip('/'), 0o644)
        found = self.diffs()
        self.assertEqual([f'{SUDOERS}: mode 0644 becomes 0440'],
                         found[SUDOERS])
        self.assertIn('-dm_thin_pool', found[MODULES])
        self.assertIn('+target_core_file', found[MODULES])
        dropin = found[f'{UNIT}.d/lvmthin.conf']
        self.assertEqual([f'removed file {UNIT}.d/lvmthin.conf',
                          f'--- {UNIT}.d/lvmthin.conf', '+++ /dev/null'],
                         dropin[:3])

    def test_bytes_that_are_no_text(self):
        self.put(MODULES, '')
        (self.folder / MODULES.lstrip('/')).write_bytes(b'\xff\n')
        self.assertIn('-\\xff', self.diffs()[MODULES])


@ddt.ddt
class ManifestTest(hostroot.SetupTestCase):
    """The record of what was made."""

    def test_it_is_read_as_it_was_written(self):
        self.put(UNIT, 'theirs')
        self.install(force=True, store=['reflink', 'rbd'], gateway=True)
        made = self.made()
        self.assertEqual({**self.OPTIONS, 'store': ['reflink', 'rbd'],
                          'gateway': True}, made.options)
        made.save(self.root)
        self.assertEqual(made, self.made())

    def test_none(self):
        self.assertIsNone(manifest.load(self.root, self.KIND))

    def test_one_that_is_nested_too_deeply(self):
        self.put(manifest.Manifest(self.KIND).path, '[' * 100_000)
        with self.assertRaisesRegex(exception.ConfigurationError,
                                    'is damaged'):
            manifest.load(self.root, self.KIND)

    def test_one_of_a_later_release(self):
        self.put(manifest.Manifest(self.KIND).path, '{"version": 2}')
        with self.assertRaises(exception.LaterRecord) as caught:
            manifest.load(self.root, self.KIND)
        self.assertIn('its version is 2, this release knows 1',
                      str(caught.exception))
        self.assertNotIn('damaged', str(caught.exception))

    @ddt.data(
        ('"/etc/mydriver"', '"/etc/../../x"'), ('"/etc/mydriver"', '1'),
        ('"storage"', '"compute"'), ('"version": 1', '"version": 0'),
        ('"version": 1', '"version": "2"'),
        ('{', ''), ('"sha256": "', '"sha256": "g'), ('"mode": 420', '"x": 1'),
        ('"mode": 420', '"mode": -1'), ('"bindir"', '"other"'),
        ('"/opt/cinder/bin"', '{}'), ('"folders"', '"directories"'),
        (f'"{MODULES}"', '"etc/passwd"'))
    @ddt.unpack
    def test_a_damaged_one_is_refused(self, old, new):
        self.install()
        path = manifest.Manifest(self.KIND).path
        text = self.get(path)
        self.assertIn(old, text)
        self.put(path, text.replace(old, new, 1), 0o600)
        with self.assertRaises(exception.ConfigurationError) as caught:
            manifest.load(self.root, self.KIND)
        self.assertEqual(self.root.shown(path), caught.exception.option)

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
TMPFILES = '/etc/tmpfiles.d/mydriver-storage.conf'
RULES = f'{catalogue.UDEV}/50-rbd.rules'
DROPIN = f'{UNIT}.d/lvmthin.conf'

#: Options of a host on which :data:`RULES` and the unit are exchanged.
GATEWAY = {'store': ['rbd'], 'gateway': True}
NO_GATEWAY = {'store': ['rbd'], 'gateway': False}

#: What changes a root.
_CALLS = ('write', 'remove', 'make_folder', 'remove_folder')

#: What these do in turn.
_STEPS = ('rename', 'mkdir', 'unlink', 'rmdir', 'fsync')


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

    def test_a_changed_file_that_is_not_needed(self):
        self.install(store=['lvmthin'])
        self.put(DROPIN, 'mine')
        done = self.install()
        self.assertEqual([DROPIN], [c.path for c in done.kept])
        done = self.install(force=True)
        self.assertEqual([(DROPIN, State.OBSOLETE)],
                         [(c.path, c.state) for c in done.changed])
        copy, = done.copies
        self.assertEqual('mine', self.get(copy))
        self.assertFalse(self.is_there(DROPIN))
        done = self.install(force=True)
        self.assertEqual(([], [], []),
                         (done.changed, done.kept, done.copies))

    def test_what_was_there_comes_back_when_options_change(self):
        self.put(RULES, 'theirs', 0o600)
        before = self.tree()
        self.install(force=True, **GATEWAY)
        self.assertIn('SUBSYSTEM', self.get(RULES))
        done = self.install(**NO_GATEWAY)
        self.assertIn((RULES, State.RESTORE),
                      [(c.path, c.state) for c in done.changed])
        self.assertEqual('theirs', self.get(RULES))
        self.assertEqual(0o600, self.root.read(RULES).mode)
        self.assertEqual([], os.listdir(
            self.folder / manifest.BACKUPS.lstrip('/')))
        removing.remove(self.root, self.made())
        self.assertEqual(before, self.tree())

    def test_a_deleted_file_comes_back_as_what_was_there(self):
        self.put(RULES, 'theirs')
        self.install(force=True, **GATEWAY)
        os.unlink(self.folder / RULES.lstrip('/'))
        self.install(**NO_GATEWAY)
        self.assertEqual('theirs', self.get(RULES))

    def test_a_changed_file_in_place_of_what_was_there(self):
        self.put(RULES, 'theirs')
        self.install(force=True, **GATEWAY)
        self.put(RULES, 'edited')
        self.assertEqual([RULES], [
            c.path for c in self.install(**NO_GATEWAY).kept])
        done = self.install(force=True, **NO_GATEWAY)
        self.assertEqual((RULES, State.RESTORE), next(
            (c.path, c.state) for c in done.changed))
        copy, = done.copies
        self.assertEqual(['edited', 'theirs'],
                         [self.get(copy), self.get(RULES)])

    def test_nothing_is_changed_when_a_copy_is_missing(self):
        self.put(RULES, 'theirs')
        self.install(force=True, **GATEWAY)
        os.unlink(self.folder / self.made().files[RULES].original.path.lstrip(
            '/'))
        before = self.tree()
        with self.assertRaisesRegex(exception.ConfigurationError, 'missing'):
            self.install(**NO_GATEWAY)
        self.assertEqual(before, self.tree())

    def test_a_copy_takes_the_place_of_no_other(self):
        """Not even of one that no record names any more."""
        self.put(RULES, 'theirs')
        self.install(force=True, **GATEWAY)
        orphan = self.made().files[RULES].original.path
        os.unlink(self.folder / RULES.lstrip('/'))
        record = self.made()
        del record.files[RULES]
        record.save(self.root)
        self.put(RULES, 'new')
        done = self.install(force=True, **GATEWAY)
        self.assertEqual('theirs', self.get(orphan))
        self.assertEqual(['new'], [self.get(c) for c in done.copies])
        done = removing.remove(self.root, self.made())
        self.assertEqual('new', self.get(RULES))
        self.assertEqual([orphan], done.copies)

    def test_a_changed_file_that_other_options_want(self):
        """It is one of ours again."""
        self.install(store=['lvmthin'])
        wanted = self.get(MODULES)
        self.install()
        self.put(MODULES, wanted)
        done = self.install(store=['lvmthin'])
        self.assertEqual([], done.kept)
        self.assertEqual([], self.install().kept)
        self.assertEqual([], removing.remove(self.root, self.made()).kept)

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

    def test_a_link_that_leads_nowhere_in_place_of_a_directory(self):
        for path in ('/etc/sudoers.d', '/etc/target', '/var/lib/mydriver'):
            with self.subTest(path):
                shutil.rmtree(self.folder / path.lstrip('/'),
                              ignore_errors=True)
                (self.folder / path.lstrip('/')).symlink_to('/none')
                before = self.tree()
                with self.assertRaises(exception.ConfigurationError) as caught:
                    self.install()
                self.assertEqual(self.root.shown(path),
                                 caught.exception.option)
                self.assertEqual(before, self.tree())
                os.unlink(self.folder / path.lstrip('/'))

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

    def test_changed_files_of_ours_do_not_come_back(self):
        self.install()
        rule = (self.get(SUDOERS)
                + 'cinder ALL=(root) NOPASSWD: /usr/bin/id\n')
        self.put(SUDOERS, rule, 0o440)
        self.put(UNIT, 'edited')
        copies = self.install(force=True).copies
        self.assertNotIn('/usr/bin/id', self.get(SUDOERS))
        done = self.remove()
        self.assertEqual(([], copies), (done.restored, done.copies))
        self.assertFalse(self.is_there(SUDOERS))
        self.assertFalse(self.is_there(UNIT))
        self.assertEqual([rule, 'edited'], [self.get(c) for c in copies])

    def test_the_first_copy_of_an_earlier_release_comes_back(self):
        """It did not mark what was there before."""
        self.put(UNIT, 'theirs')
        self.install(force=True)
        self.put(UNIT, 'edited')
        self.install(force=True)
        made = self.made()
        first, second = made.files[UNIT].backups
        self.assertTrue(first.path.startswith(
            f'{manifest.BACKUPS}/storage-0-%2F'))
        unmarked = second.path.replace('-edited-0-', '-1-')
        (self.folder / second.path.lstrip('/')).rename(
            self.folder / unmarked.lstrip('/'))
        second.path = unmarked
        made.save(self.root)
        done = self.remove()
        self.assertEqual(([UNIT], [unmarked]), (done.restored, done.copies))
        self.assertEqual('theirs', self.get(UNIT))

    def test_mode_and_owner_come_back_with_the_same_content(self):
        text = next(f for f in catalogue.files(choices.choose(
            self.KIND, self.OPTIONS)) if f.path == TMPFILES).content.decode()
        self.put(TMPFILES, text, 0o600)
        if not os.geteuid():
            os.chown(self.folder / TMPFILES.lstrip('/'), 1000, 1000)
        before, found = self.tree(), self.root.read(TMPFILES)
        self.install(force=True)
        self.assertEqual(0o644, self.root.read(TMPFILES).mode)
        self.remove()
        self.assertEqual(found, self.root.read(TMPFILES))
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


class EndTestCase(hostroot.SetupTestCase):
    """A test in which the command is ended, and run again."""

    #: What is called to change the root, and where.
    PLACE, CALLS = roots.Root, _CALLS

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

        with mock.patch.multiple(self.PLACE, **{
                name: counted(getattr(self.PLACE, name))
                for name in self.CALLS}):
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


class CrashTest(EndTestCase):
    """An end before any change of a path."""

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
            else:
                kept = removing.tidy(self.root, self.KIND)
                self.assertEqual(bool(kept),
                                 self.root.is_folder(manifest.FOLDER))
                self.assertLessEqual({self.get(path) for path in kept},
                                     {'theirs'})
                self.assertEqual(kept, removing.tidy(self.root, self.KIND))
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


class StopTest(EndTestCase):
    """An end between any two steps, when something is recorded already."""

    PLACE, CALLS = os, _STEPS

    def setUp(self):
        super().setUp()
        self.enterContext(mock.patch.object(privsep, 'check'))
        self.enterContext(mock.patch.object(os, 'fsync'))  # for speed

    def copies(self):
        """Return what copies there are."""
        folder = self.folder / manifest.BACKUPS.lstrip('/')
        return sorted(p.read_text() for p in folder.glob('*'))

    def exchange(self):
        """Return what changes between two sets of options, as calls."""
        def prepare():
            os.unlink(self.folder / UNIT.lstrip('/'))
            self.put(RULES, 'ONE', 0o600)
            self.before = self.tree()
            self.install(force=True, **GATEWAY)
        return prepare, lambda: self.install(**NO_GATEWAY)

    def remove(self):
        """Remove everything; all is as it was."""
        made = manifest.load(self.root, self.KIND)
        if made is not None:
            done = removing.remove(self.root, made)
            self.assertEqual(([], []), (done.kept, done.copies))
        # Without a record, nobody knows who made what it was in.
        self.assertEqual(self.before, {
            p: f for p, f in self.tree().items()
            if not f'{p}/'.startswith('var/lib/mydriver/')
            or not f[0].startswith('d')})

    def test_what_comes_back_with_other_options(self):
        prepare, change = self.exchange()

        def check(_number):
            done = change()
            self.assertEqual([], done.kept)
            self.assertEqual('ONE', self.get(RULES))
            self.assertNotIn(RULES, self.made().files)
            self.remove()

        self.each(change, check, prepare)

    def test_what_comes_back_with_other_options_and_remove(self):
        prepare, change = self.exchange()
        self.each(change, lambda _number: self.remove(), prepare)

    def test_what_comes_back_with_other_options_and_back(self):
        prepare, change = self.exchange()

        def check(_number):
            done = self.install(force=True, **GATEWAY)
            self.assertEqual([], done.kept)
            self.assertIn('SUBSYSTEM', self.get(RULES))
            self.remove()

        self.each(change, check, prepare)

    def test_what_comes_back_while_something_else_is_copied(self):
        def prepare():
            self.put(RULES, 'ONE', 0o600)
            self.before = self.tree()
            self.install(force=True, **NO_GATEWAY)

        def check(_number):
            self.install(force=True, **GATEWAY)
            self.assertEqual('theirs', self.get(UNIT))
            self.assertEqual(['ONE'], self.copies())
            self.remove()

        self.each(lambda: self.install(force=True, **GATEWAY), check,
                  prepare)

    def test_other_options_and_back(self):
        def check(_number):
            self.assertEqual([], self.install().kept)
            self.remove()

        self.each(lambda: self.install(store=['lvmthin']), check,
                  lambda: self.install(force=True))

    def test_changed_files(self):
        def prepare():
            self.install(force=True, store=['lvmthin'])
            self.put(DROPIN, 'mine')
            self.put(SUDOERS, 'mine, too')

        def check(_number):
            self.install(force=True)
            self.assertEqual(['mine', 'mine, too', 'theirs'], self.copies())
            done = removing.remove(self.root, self.made())
            self.assertEqual(([UNIT], [], 2), (
                done.restored, done.kept, len(done.copies)))
            self.assertFalse(self.is_there(DROPIN))
            self.assertEqual('theirs', self.get(UNIT))
            self.assertEqual(['mine', 'mine, too'], self.copies())

        self.each(lambda: self.install(force=True), check, prepare)

    def test_remove_and_install(self):
        self.clear()
        self.before = self.tree()

        def check(_number):
            self.install(force=True)
            self.assertIn('ExecStart=', self.get(UNIT))
            self.remove()

        self.each(lambda: removing.remove(self.root, self.made()), check,
                  lambda: self.install(force=True))

    def test_remove_what_has_the_same_content(self):
        text = next(f for f in catalogue.files(choices.choose(
            self.KIND, self.OPTIONS)) if f.path == TMPFILES).content.decode()

        def prepare():
            self.put(TMPFILES, text, 0o600)
            self.before = self.tree()
            self.install(force=True)

        self.each(lambda: removing.remove(self.root, self.made()),
                  lambda _number: self.remove(), prepare)
        self.each(lambda: removing.remove(self.root, self.made()),
                  lambda _number: (self.install(force=True),
                                   self.install(user='stack'),
                                   self.remove()), prepare)


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

    def test_what_was_there_before(self):
        self.put(RULES, 'theirs')
        self.install(force=True, **GATEWAY)
        self.assertEqual([f'{RULES}: what was there before comes back'],
                         self.diffs()[RULES])

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

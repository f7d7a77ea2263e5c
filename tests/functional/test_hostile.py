# SPDX-License-Identifier: Apache-2.0
"""What a compromised cinder user cannot do with the target's verbs."""

import collections
import hashlib
import itertools
import json
import os
from pathlib import Path
import re
import shutil
import stat
import sys
import tempfile
import time
import uuid

from oslo_config import cfg
import rtslib_fb

from mydriver import privileged
from tests.functional import base, hostile, lio, lvm

MIB = 1 << 20
VOLUME = '11111111-2222-4333-8444-555555555555'
OTHER = '66666666-7777-4888-9999-aaaaaaaaaaaa'
TARGET = 'iqn.2010-10.org.openstack:mydriver-host-files-0'
STRANGER = 'iqn.2003-01.org.linux-iscsi.stranger:disk'
INITIATOR = 'iqn.1993-08.org.debian:01:guest'
CORE_PATTERN = Path('/proc/sys/kernel/core_pattern')
POOL = 'mydriver'
THIN = 'mydriver.privileged.stores.thin.'
LIO = 'mydriver.privileged.target.lio.'
REQUEST = 'mydriver.request=0123456789ab'
NETWORK = 'mydriver.privileged.network.floating.'
FLOATING, ADDRESS, STATIC = '192.0.2.51', '192.0.2.1', '192.0.2.52'

CONF = """[DEFAULT]
enabled_backends = files, disks, ceph
[files]
volume_driver = mydriver.cinder_volume.driver.LIODriver
mydriver_store_path = {store}
[disks]
volume_driver = mydriver.cinder_volume.driver.LIODriver
mydriver_store = lvmthin
mydriver_store_path = {group}
[ceph]
volume_driver = mydriver.cinder_volume.driver.LIODriver
mydriver_store = rbd
mydriver_gateway_addresses = {addresses}
"""


def lv(volume_id):
    """Return the name of a volume's backing."""
    return f'volume-{volume_id}'


def is_ours(path, value):
    """Tell whether something in configfs may come and go."""
    if f'/iscsi/{TARGET}' in path:
        return True
    found = re.search(r'/core/(?:fileio|iblock)_(\d+)(?:/([^/]+))?', path)
    if not found or int(found[1]) < 1 << 20:
        return False
    # The directory of a backstore and its attributes, and what is in it.
    return (found[2] is None or f'-{VOLUME}' in found[2]
            or value != 'folder')


class HostileTargetTest(base.NodeTestCase):
    """A host with foreign disks, volume groups and targets."""

    @classmethod
    def setUpClass(cls):
        """Set up the host once: what is outside must not change at all."""
        super().setUpClass()
        cls.folder = Path(tempfile.mkdtemp(dir='/run'))
        cls.addClassCleanup(shutil.rmtree, cls.folder)
        cls.folder.chmod(0o755)
        cls.store = cls.folder / 'store'
        cls.store.mkdir(mode=0o700)
        os.chown(cls.store, hostile.UID, hostile.UID)
        cls.secret = cls.folder / 'secret'
        cls.secret.write_bytes(b'root only' * MIB)
        cls.secret.chmod(0o600)
        lvm.make_group(extent='4m')
        cls.addClassCleanup(lvm.remove_group)
        cls.addClassCleanup(lio.clear)
        cls.make_foreign_volumes()
        cls.make_foreign_target()
        cls.make_foreign_addresses()
        conf = cls.folder / 'cinder.conf'
        conf.write_text(CONF.format(
            store=cls.store, group=lvm.GROUP,
            addresses=f'{FLOATING},{STATIC}'))
        conf.chmod(0o640)
        cfg.CONF(['--config-file', str(conf)], project='mydriver')

    @classmethod
    def make_foreign_volumes(cls):
        """Make another group, another pool in ours, and volumes in both."""
        disk = cls.folder / 'disk'
        with disk.open('wb') as f:
            f.truncate(512 * MIB)
        base.run('modprobe', 'loop')
        loop = base.run('losetup', '--find', '--show', str(disk)).strip()
        cls.addClassCleanup(base.run, 'losetup', '--detach', loop)
        base.run('vgcreate', '-q', 'other', loop)
        cls.addClassCleanup(base.run, 'vgremove', '-q', '-f', '-y', 'other')
        for group, pool in ((lvm.GROUP, POOL), (lvm.GROUP, 'theirs'),
                            ('other', POOL)):
            base.run('lvcreate', '-q', '--type', 'thin-pool', '-L', '128m',
                     '-Zy', '-n', pool, group)
        for group, pool, name in (
                (lvm.GROUP, 'theirs', 'root'),
                (lvm.GROUP, 'theirs', lv(OTHER)),
                ('other', POOL, lv(VOLUME))):
            base.run('lvcreate', '-q', '-Wn', '-V', '16m', '-n', name,
                     '--thinpool', f'{group}/{pool}')
        base.run('lvcreate', '-q', '-Wn', '-L', '16m', '-n', 'swap',
                 lvm.GROUP)
        for path in (f'{lvm.GROUP}/root', f'{lvm.GROUP}/{lv(OTHER)}',
                     f'other/{lv(VOLUME)}', f'{lvm.GROUP}/swap'):
            Path('/dev', path).write_bytes(path.encode().ljust(4096))

    @classmethod
    def make_foreign_addresses(cls):
        """Give the host addresses, one of which is called floating."""
        base.run('ip', 'link', 'add', 'lan', 'type', 'dummy')
        cls.addClassCleanup(base.run, 'ip', 'link', 'delete', 'lan')
        base.run('ip', 'link', 'set', 'lan', 'up')
        for address in (f'{ADDRESS}/24', f'{STATIC}/32'):
            base.run('ip', 'address', 'add', address, 'dev', 'lan')

    @classmethod
    def make_foreign_target(cls):
        """Serve a disk as an administrator does with targetcli."""
        path = cls.folder / 'stranger'
        path.write_bytes(bytes(MIB))
        Path('/etc/target').mkdir(exist_ok=True)  # rtslib wants it
        store = rtslib_fb.FileIOStorageObject('stranger', str(path), MIB)
        tpg = rtslib_fb.TPG(rtslib_fb.Target(
            rtslib_fb.FabricModule('iscsi'), STRANGER), 1)
        rtslib_fb.NetworkPortal(tpg, '127.0.0.3', 3260)
        rtslib_fb.LUN(tpg, 0, store)
        acl = rtslib_fb.NodeACL(tpg, INITIATOR)
        acl.chap_userid, acl.chap_password = 'stranger', 'strangersecret'
        rtslib_fb.MappedLUN(acl, 0, 0)
        tpg.set_attribute('authentication', '1')
        tpg.enable = True

    def setUp(self):
        super().setUp()
        self.caller = hostile.Caller(privileged.target_context)
        self.addCleanup(self.clear)
        self.addCleanup(self.caller.close)
        self.make_ours()
        self.before = self.outside()

    def tearDown(self):
        self.assert_outside_is_as_before()
        super().tearDown()

    def make_ours(self):
        """Make what the caller may use: a volume in each store, a target."""
        self.clear()
        path = self.store / lv(VOLUME)
        path.write_bytes(bytes(16 * MIB))
        os.chown(path, hostile.UID, hostile.UID)
        for name in (lv(VOLUME), 'legacy'):
            base.run('lvcreate', '-q', '-Wn', '-V', '16m', '-n', name,
                     '--thinpool', f'{lvm.GROUP}/{POOL}')
        base.run('lvcreate', '-q', '-kn', '-an', '--snapshot', '-n',
                 f'_snapshot-{VOLUME}', '--addtag', 'mydriver.unfinished',
                 f'{lvm.GROUP}/{lv(VOLUME)}')
        self.assert_done(self.caller.one(
            f'{LIO}ensure_target', TARGET, [['127.0.0.1', 3260]],
            {'authentication': 0, 'generate_node_acls': 0}))
        self.assert_done(self.caller.one(
            f'{NETWORK}hold_address', FLOATING, self.soon()))

    @staticmethod
    def soon():
        """Return a time at which an address may go."""
        return time.clock_gettime(time.CLOCK_BOOTTIME) + 100

    def clear(self):
        """Remove what the caller could make."""
        for target in list(rtslib_fb.FabricModule('iscsi').targets):
            if target.wwn != STRANGER:
                target.delete()
        for path in lio.configfs.ROOT.glob('core/*_*/mydriver-*'):
            path.rmdir()
            path.parent.rmdir()
        base.run('lvremove', '-q', '-f', '-S', 'pool_lv=mydriver', lvm.GROUP)
        for path in self.store.iterdir():
            path.unlink()

    def export(self, **changes):
        """Return an export of our file."""
        return {'target': TARGET, 'lun': 1, 'volume_id': VOLUME,
                'name': f'mydriver-files-{VOLUME}', 'kind': 'fileio',
                'path': f'{self.store}/{lv(VOLUME)}',
                'size_bytes': 16 * MIB, **changes}

    def device(self, **changes):
        """Return an export of our logical volume."""
        return self.export(**{
            'name': f'mydriver-disks-{VOLUME}', 'kind': 'iblock',
            'path': f'/dev/{lvm.GROUP}/{lv(VOLUME)}', **changes})

    # -- what is outside

    def outside(self):
        """Return all that the caller has no business with."""
        return {'configfs': self.foreign_objects(),
                'network': self.foreign_addresses(),
                'volumes': self.foreign_volumes(),
                'files': self.foreign_files()}

    def foreign_objects(self):
        """Return what is in the kernel's target and not ours."""
        return {path: value for path, value in lio.dump().items()
                if not is_ours(path, value)}

    def foreign_addresses(self):
        """Return the host's addresses, routes and rules."""
        return ([(link['ifname'], a['local'], a['prefixlen'])
                 for link in json.loads(base.run('ip', '-json', 'address'))
                 for a in link['addr_info'] if a['local'] != FLOATING],
                *(json.loads(base.run('ip', '-json', what))
                  for what in ('route', 'rule')))

    def foreign_volumes(self):
        """Return LVM's metadata of foreign volumes, and what they hold."""
        rows = json.loads(base.run(
            'lvs', '-q', '-a', '--reportformat', 'json', '-o', 'vg_name,'
            'lv_name,lv_uuid,lv_size,lv_tags,lv_attr,pool_lv,thin_id,'
            'chunk_size'))['report'][0]['lv']
        kept = [row for row in rows if (row['vg_name'], row['pool_lv'])
                != (lvm.GROUP, POOL)]
        held = {path: Path(path).read_bytes()[:4096].decode() for path in (
            f'/dev/{lvm.GROUP}/root', f'/dev/{lvm.GROUP}/{lv(OTHER)}',
            f'/dev/other/{lv(VOLUME)}', f'/dev/{lvm.GROUP}/swap')}
        return kept, held

    def foreign_files(self):
        """Return what a host's files are like that are not ours."""
        found = {str(CORE_PATTERN): CORE_PATTERN.read_text()}
        for path in (self.secret, self.folder / 'stranger',
                     self.folder / 'cinder.conf', Path('/etc/shadow')):
            seen = path.stat()
            found[str(path)] = (
                stat.filemode(seen.st_mode), seen.st_uid, seen.st_size,
                hashlib.sha256(path.read_bytes()).hexdigest())
        for folder in ('/', '/etc', '/etc/lvm', '/root',
                       '/proc/sys/kernel'):
            found[folder] = sorted(os.listdir(folder))
        return found

    def assert_outside_is_as_before(self, what=''):
        """Nothing changed that is not ours."""
        after = self.outside()
        for part, before in self.before.items():
            self.assertEqual(before, after[part], what)

    def assert_done(self, answer):
        """A call did what it should."""
        self.assertEqual('done', answer.kind, answer.text)

    def assert_refused(self, answer):
        """A call came to nothing; that nothing changed is seen at the end."""
        print(f'\n{self.id().rpartition(".")[2]}: {answer.kind}: '
              f'{answer.text[:160]}', file=sys.stderr)
        self.assertEqual('refused', answer.kind, answer.text)

    # -- all verbs

    def valid(self):
        """Return what each verb takes, by its name and parameter."""
        group, name = {'vg': lvm.GROUP}, {'lv': lv(VOLUME)}
        pool = {**group, 'pool': POOL}
        mapping = {'initiator': INITIATOR, 'lun': 3, 'read_only': False}
        chap = {'username': 'name', 'password': 'secretsecret1',
                'mutual_username': '', 'mutual_password': ''}
        return {
            f'{LIO}ensure_target': {
                'iqn': TARGET, 'portals': [['127.0.0.1', 3260]],
                'attributes': {'authentication': 0}, 'at_once': False},
            f'{LIO}ensure_export': {'export': self.export()},
            f'{LIO}disable_target': {'iqn': TARGET},
            f'{LIO}drop_target': {'iqn': TARGET},
            f'{LIO}drop_export': {'export': self.export()},
            f'{LIO}resize': {'export': self.export()},
            f'{LIO}ensure_mapping': {
                'export': self.device(lun=2), 'mapping': mapping,
                'chap': chap},
            f'{LIO}drop_mapping': {
                'export': self.device(lun=2), 'initiator': INITIATOR,
                'lun': 3},
            f'{LIO}is_mutual': {'target': TARGET, 'initiator': INITIATOR},
            f'{NETWORK}hold_address': {
                'address': FLOATING, 'until_s': self.soon()},
            f'{NETWORK}drop_address': {'address': FLOATING},
            f'{NETWORK}announce': {'address': FLOATING},
            f'{NETWORK}prompt_peers': {
                'address': FLOATING, 'port': 3260,
                'peers': [[ADDRESS, 40000]]},
            f'{THIN}group': group, f'{THIN}volumes': group,
            f'{THIN}pool_status': pool, f'{THIN}activate_pool': pool,
            f'{THIN}create_pool': {
                **pool, 'data_bytes': 64 * MIB, 'metadata_bytes': 4 * MIB,
                'chunk_kib': 64},
            f'{THIN}create': {**pool, 'lv': lv(OTHER)[:-1] + '0',
                              'size_bytes': 16 * MIB, 'request': REQUEST},
            f'{THIN}copy': {
                **group, 'source': lv(VOLUME), 'lv': f'_snapshot-{OTHER}',
                'tags': [REQUEST], 'active': True, 'request': REQUEST},
            f'{THIN}extend': {**group, **name, 'size_bytes': 32 * MIB},
            f'{THIN}remove': {**pool, 'lvs': [lv(VOLUME)]},
            f'{THIN}rename': {**group, 'old': lv(VOLUME),
                               'new': f'_revert-{VOLUME}'},
            f'{THIN}adopt': {
                **pool, 'foreign': 'legacy', 'lv': f'_revert-{OTHER}',
                'size_bytes': 16 * MIB},
            f'{THIN}activate': {**group, 'lvs': [lv(VOLUME)]},
            f'{THIN}untag': {**group, 'lvs': [lv(VOLUME)],
                             'tag': 'mydriver.unfinished'},
            f'{THIN}flush': {**group, **name},
            f'{THIN}mapped_sectors': {**group, **name},
            f'{THIN}resume': {**group, 'lvs': [lv(VOLUME)]},
            f'{THIN}copy_together': {
                **pool, 'copies': [[lv(VOLUME), f'_snapshot-{VOLUME}']]},
        }

    def foreign(self):
        """Return the names of what belongs to others."""
        return (
            ADDRESS, STATIC, '127.0.0.1', f'{FLOATING}/24', '0.0.0.0', 'lan',
            STRANGER, 'stranger', f'{TARGET}/../{STRANGER}', str(self.secret),
            f'{self.store}/../secret', 'other', 'other/mydriver', 'theirs',
            'root', 'swap', lv(OTHER), f'other/{lv(VOLUME)}', OTHER,
            f'mydriver-files-{OTHER}', f'mydriver-disks-{VOLUME}/../x',
            f'/dev/{lvm.GROUP}/root', f'/dev/{lvm.GROUP}/{lv(OTHER)}',
            f'/dev/other/{lv(VOLUME)}', '[theirs_tdata]', 'lvol0_pmspare',
            'mydriver_tdata', f'{self.store}/planted',
            f'{lv(VOLUME)} || lv_name=root',
            [lv(VOLUME), 'root'], [[lv(VOLUME), lv(OTHER)]],
            [[lv(OTHER), f'_snapshot-{VOLUME}']], [[lv(VOLUME), 1, 2]])

    def test_each_parameter_of_each_verb(self):
        # Those for images need a Ceph: functional.ceph.test_hostile_rbd.
        verbs = {name: verb for name, verb in hostile.verbs_of(
            privileged.target_context).items()
            if not name.startswith('mydriver.privileged.rbd.')}
        values = (*hostile.VALUES, *self.foreign())
        os.symlink(self.secret, self.store / 'planted')
        calls, seen, parts = 0, {}, 0
        for verb, function in sorted(verbs.items()):
            names = hostile.parameters_of(function)
            good = self.valid().get(verb, {})
            self.assertEqual(
                names, list(good), f'tell the hostile suite '
                f'(test_hostile.py, valid) what {verb} takes')
            self.make_ours()
            self.before = self.outside()
            for name in names:
                some = [[*({**good, name: value}.values())] for value in
                        hostile.mutations(good[name], values)]
                parts += len(some) // len(values)
                for answer, args in zip(
                        self.caller.call(verb, some), some, strict=True):
                    seen.setdefault(answer.kind, []).append(
                        f'{verb}({args!r:.300}): {answer.text:.200}')
                calls += len(some)
            some = [[], [*good.values(), 1], [None] * 40]
            for answer in self.caller.call(verb, some):
                seen.setdefault(answer.kind, []).append(f'{verb}: {answer}')
            calls += len(some)
            self.assert_outside_is_as_before(verb)
            print(f'{verb}: {calls} calls up to here', file=sys.stderr)
        for kind in ('broken', 'blocked', 'lost'):
            self.assertEqual([], seen.get(kind, [])[:20])
        done = seen.get('done', ())
        print(f'\n{len(verbs)} verbs x {parts} parameters and parts x '
              f'{len(values)} values = {calls} calls, 0 succeeded; '
              f'{len(done)} did what ours may do: ' + str(dict(
                  collections.Counter(d.partition('(')[0] for d in done))),
              file=sys.stderr)

    def test_what_is_right_works(self):
        # The suite is of no use where the other parameters are wrong, too.
        order = sorted(self.valid().keys() & hostile.verbs_of(
            privileged.target_context).keys(), key=lambda verb: (
            'drop' in verb, 'remove' in verb, 'rename' in verb,
            'untag' in verb, 'is_mutual' in verb, verb))
        for verb in order:
            good = [*self.valid()[verb].values()]
            if verb == f'{THIN}create_pool':
                continue  # it is there already
            self.assert_done(self.caller.one(verb, *good))

    # -- what was seen

    def test_what_is_no_verb_is_not_even_imported(self):
        for name in ('os.system', 'unittest.__main__.x', 'antigravity.x'):
            self.assert_refused(self.caller.one(name, 'id'))

    def test_core_pattern_is_no_attribute(self):
        self.assert_refused(self.caller.one(
            f'{LIO}ensure_target', TARGET, [],
            {f'{hostile.UP}proc/sys/kernel/core_pattern': 1}))

    def test_a_foreign_target_is_not_opened(self):
        self.assert_refused(self.caller.one(
            f'{LIO}ensure_target', STRANGER, [], {'authentication': 0}))

    def test_a_target_that_serves_another_disk_is_not_ours(self):
        name = TARGET[:-1] + '7'
        tpg = rtslib_fb.TPG(rtslib_fb.Target(
            rtslib_fb.FabricModule('iscsi'), name), 1)
        rtslib_fb.LUN(tpg, 0, rtslib_fb.FileIOStorageObject('stranger'))
        self.before = self.outside()
        self.assert_refused(self.caller.one(
            f'{LIO}ensure_target', name, [], {'authentication': 0}))

    def planted(self):
        """Put each thing in the place of a volume that is none."""
        path = self.store / lv(VOLUME)
        for plant in (
                lambda: path.symlink_to(self.secret),
                lambda: os.link(self.secret, path),
                lambda: os.mkfifo(path, 0o666),
                lambda: os.mknod(path, stat.S_IFBLK | 0o600,
                                 os.stat(base.DISK).st_rdev),
                lambda: shutil.copy(self.secret, path),
                lambda: path.symlink_to('/dev/ubda')):
            path.unlink()
            plant()
            if stat.S_ISFIFO(path.lstat().st_mode):
                os.chown(path, hostile.UID, hostile.UID)
            yield path
        path.unlink()

    def test_what_is_planted_in_the_store_is_not_exported(self):
        for _path in self.planted():
            size = self.export(size_bytes=MIB)
            self.assert_refused(self.caller.one(f'{LIO}ensure_export', size))
            self.assertEqual([], list(
                lio.configfs.ROOT.glob('core/*/mydriver-*')))

    def test_resize_does_not_follow_what_is_planted(self):
        self.assert_done(self.caller.one(f'{LIO}ensure_export', self.export(
            size_bytes=MIB)))
        for _path in self.planted():
            self.assert_refused(self.caller.one(
                f'{LIO}resize', self.export(size_bytes=2 * MIB)))

    def test_a_file_that_took_anothers_name_is_not_taken_for_it(self):
        self.assert_done(self.caller.one(f'{LIO}ensure_export',
                                         self.export()))
        path = self.store / lv(VOLUME)
        os.rename(path, self.store / 'old')
        path.write_bytes(bytes(16 * MIB))
        os.chown(path, hostile.UID, hostile.UID)
        self.assert_refused(self.caller.one(f'{LIO}ensure_export',
                                            self.export()))

    def test_a_store_that_was_exchanged_for_a_link(self):
        other = self.folder / 'theirs'
        other.mkdir(exist_ok=True)
        (other / lv(VOLUME)).write_bytes(bytes(16 * MIB))
        self.store.rename(self.folder / 'moved')
        try:
            self.store.symlink_to(other)
            os.chown(self.store, hostile.UID, hostile.UID,
                     follow_symlinks=False)
            self.assert_refused(self.caller.one(f'{LIO}ensure_export',
                                                self.export()))
        finally:
            self.store.unlink()
            (self.folder / 'moved').rename(self.store)

    def test_any_file_and_disk_by_its_path(self):
        for path, kind in itertools.product(
                (self.secret, '/dev/ubda', f'/dev/{lvm.GROUP}/root',
                 f'/dev/other/{lv(VOLUME)}'), ('fileio', 'iblock')):
            self.assert_refused(self.caller.one(
                f'{LIO}ensure_export', self.export(
                    path=str(path), kind=kind, size_bytes=MIB)))

    def test_a_volume_of_another_pool_of_the_group(self):
        self.assert_refused(self.caller.one(f'{LIO}ensure_export', self.device(
            volume_id=OTHER, name=f'mydriver-disks-{OTHER}',
            path=f'/dev/{lvm.GROUP}/{lv(OTHER)}')))

    def test_a_fifo_blocks_nobody(self):
        path = self.store / lv(VOLUME)
        path.unlink()
        os.mkfifo(path)
        os.chown(path, hostile.UID, hostile.UID)
        answers = self.caller.call(
            f'{LIO}ensure_export', [[self.export(
                path=p, size_bytes=MIB)] for p in (str(path),) * 12])
        self.assertEqual({'refused'}, {a.kind for a in answers}, answers)
        self.assert_done(self.caller.one(f'{THIN}group', lvm.GROUP))

    def test_a_foreign_export_is_not_dropped(self):
        for target, name in itertools.product(
                (STRANGER, f'{TARGET}/../{STRANGER}'),
                ('stranger', f'mydriver-files-{VOLUME}',
                 f'mydriver-files-{VOLUME}/../../fileio_0/stranger')):
            self.assert_refused(self.caller.one(
                f'{LIO}drop_export', self.export(
                    target=target, name=name, lun=0)))

    def test_a_foreign_mapping_is_not_dropped(self):
        for initiator in (INITIATOR, f'../acls/{INITIATOR}'):
            self.assert_refused(self.caller.one(
                f'{LIO}drop_mapping', self.export(target=STRANGER, lun=0),
                initiator, 0))

    def test_a_foreign_group(self):
        for verb, args in (
                ('create', ('other', POOL, lv(OTHER), MIB, REQUEST)),
                ('copy', ('other', lv(VOLUME), lv(OTHER), [], True,
                          REQUEST)),
                ('extend', ('other', lv(VOLUME), 64 * MIB)),
                ('remove', ('other', POOL, [lv(VOLUME)])),
                ('rename', ('other', lv(VOLUME), lv(OTHER))),
                ('create_pool', ('other', 'new', 16 * MIB, 4 * MIB, 64))):
            self.assert_refused(self.caller.one(THIN + verb, *args))

    def test_a_foreign_pool_of_the_same_group(self):
        mine = lv(VOLUME)
        for verb, args in (
                ('create', (lvm.GROUP, 'theirs', mine, MIB, REQUEST)),
                ('copy', (lvm.GROUP, lv(OTHER), f'_snapshot-{OTHER}', [],
                          True, REQUEST)),
                ('extend', (lvm.GROUP, lv(OTHER), 64 * MIB)),
                ('remove', (lvm.GROUP, 'theirs', [lv(OTHER)])),
                ('rename', (lvm.GROUP, lv(OTHER), f'_snapshot-{OTHER}')),
                ('flush', (lvm.GROUP, lv(OTHER))),
                ('mapped_sectors', (lvm.GROUP, lv(OTHER))),
                ('resume', (lvm.GROUP, [lv(OTHER)])),
                ('create_pool', (lvm.GROUP, 'new', 16 * MIB, 4 * MIB, 64))):
            self.assert_refused(self.caller.one(THIN + verb, *args))

    def test_a_foreign_thin_id(self):
        pool = f'{lvm.GROUP}-{POOL}-tpool'.replace('vg-', 'vg--', 1)
        legacy = int(base.run('lvs', '-q', '--noheadings', '-o', 'thin_id',
                              f'{lvm.GROUP}/legacy'))
        before = base.run('dmsetup', 'status', pool)
        for copies in ([[lv(VOLUME), legacy, 3]], [[lv(VOLUME), 2, legacy]],
                       [[lv(OTHER), f'_snapshot-{VOLUME}']],
                       [[lv(VOLUME), lv(OTHER)]],
                       [[f'_snapshot-{VOLUME}', lv(VOLUME)]]):
            self.assert_refused(self.caller.one(
                f'{THIN}copy_together', lvm.GROUP, POOL, copies))
        self.assertEqual(before, base.run('dmsetup', 'status', pool))

    def test_the_hosts_own_addresses_stay(self):
        for address in (ADDRESS, STATIC):
            self.assert_refused(self.caller.one(
                f'{NETWORK}drop_address', address))
            self.assert_refused(self.caller.one(
                f'{NETWORK}hold_address', address, self.soon()))

    def test_nobody_is_told_that_another_address_is_here(self):
        for address in (ADDRESS, STATIC, '192.0.2.53'):
            self.assert_refused(self.caller.one(
                f'{NETWORK}announce', address))
            self.assert_refused(self.caller.one(
                f'{NETWORK}prompt_peers', address, 3260, [[ADDRESS, 40000]]))

    def test_an_address_does_not_stay_for_ever(self):
        for until_s in (self.soon() + 100, float('inf'), 1 << 40):
            self.assert_refused(self.caller.one(
                f'{NETWORK}hold_address', FLOATING, until_s))

    def test_root_is_not_taken_over(self):
        for name in ('root', 'swap', 'lvol0_pmspare', 'mydriver_tdata',
                     'theirs', POOL):
            self.assert_refused(self.caller.one(
                f'{THIN}adopt', lvm.GROUP, POOL, name,
                f'volume-{uuid.uuid4()}', 16 * MIB))

    def test_a_configuration_that_others_may_write(self):
        conf = self.folder / 'cinder.conf'
        for owner, mode in ((hostile.UID, 0o640), (0, 0o666), (0, 0o640)):
            os.chown(conf, owner, hostile.UID)
            conf.chmod(mode)
            answers = [self.caller.one(f'{THIN}group', lvm.GROUP),
                       self.caller.one(f'{LIO}resize', self.export())]
            if (owner, mode) == (0, 0o640):
                self.assertEqual({'done'}, {a.kind for a in answers}, answers)
                continue
            for answer in answers:
                self.assertEqual('refused', answer.kind)
                self.assertIn('ConfigurationError', answer.text)
                # Unless nobody knows who has to go on reading it.
                self.assertRegex(
                    answer.text, rf'chmod (g\+r,)?go-w {re.escape(str(conf))}'
                    "|Give it to root and to the group of the service's")

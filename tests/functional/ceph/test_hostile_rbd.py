# SPDX-License-Identifier: Apache-2.0
"""Verbs for images, called by a service that an attacker has taken over.

Nothing outside of the backend's own images may change: images of others in the
same pool, images of other pools, and what an administrator has mapped.
"""

import hashlib
from pathlib import Path
import shutil
import sys
import tempfile

from oslo_config import cfg
import rbd

from mydriver import privileged
from mydriver.privileged import cephconf, grants, krbd
from mydriver.privileged.rbd import keys
from mydriver.stores.rbd import images
from tests.functional import base, hostile
from tests.functional.ceph import base as ceph_base
from tests.functional.ceph import store as ceph_store

VERBS = 'mydriver.privileged.rbd.'
KRBD, CLIENTS = f'{VERBS}krbd.', f'{VERBS}clients.'
CONF = '/etc/ceph/ceph.conf'
VOLUME = 'volume-11111111-2222-4333-8444-555555555555'
OTHER = 'volume-66666666-7777-4888-9999-aaaaaaaaaaaa'
SIZE = 16 << 20

BACKEND = f"""
[{{name}}]
volume_driver = {grants.DRIVER}
mydriver_store = rbd
mydriver_rbd_pool = volumes
mydriver_gateway_addresses = {{addresses}}
"""
ADDRESS = '192.0.2.51'


class HostileRbdTest(ceph_base.CephTestCase):
    """A host that uses Ceph for other things, too."""

    @classmethod
    def setUpClass(cls):
        """Set up the host once: what is outside must not change at all."""
        super().setUpClass()
        base.run('modprobe', 'rbd', 'single_major=Y')
        cls.folder = Path(tempfile.mkdtemp(dir='/run'))
        cls.addClassCleanup(shutil.rmtree, cls.folder)
        cls.folder.chmod(0o755)
        cls.cinder_conf = cls.folder / 'cinder.conf'
        cls.configure(ceph=ADDRESS)
        cls.cinder_conf.chmod(0o640)
        cfg.CONF(['--config-file', str(cls.cinder_conf)], project='mydriver')
        # As an attacker would like to have it read.
        cls.planted = cls.folder / 'planted'
        cls.planted.mkdir(mode=0o777)
        (cls.planted / 'ceph.conf').write_text(Path(CONF).read_text())
        cls.pools = {p: cls.ceph.cluster.open_ioctx(p)
                     for p in (ceph_base.VOLUMES, ceph_base.IMAGES)}
        for io in cls.pools.values():
            cls.addClassCleanup(io.close)
            cls.addClassCleanup(ceph_store.clear, io)
        for pool, name in (('volumes', VOLUME), ('volumes', 'legacy'),
                           ('images', VOLUME), ('images', OTHER),
                           ('volumes', krbd.anchor(0))):
            rbd.RBD().create(cls.pools[pool], name, SIZE,
                             features=images.features())
        cls.map_as_root('volumes', 'legacy')
        cls.map_as_root('images', VOLUME)

    @classmethod
    def configure(cls, **backends):
        """Write backends with their floating addresses, all on one pool."""
        cls.cinder_conf.write_text(
            f'[DEFAULT]\nenabled_backends = {",".join(backends)}\n' + ''.join(
                BACKEND.format(name=name, addresses=addresses)
                for name, addresses in backends.items()))

    @classmethod
    def map_as_root(cls, pool, name):
        """Map an image as an administrator does."""
        conf = cephconf.CephConf(CONF, 'admin')
        before = {*krbd.BUS.glob('devices/*')}
        with keys.held('client.admin', conf.key()):
            (krbd.BUS / 'add_single_major').write_text(
                f'{conf.monitors()[0]} name=admin,key=client.admin {pool} '
                f'{name} -')
        made, = {*krbd.BUS.glob('devices/*')} - before

        def unmap():
            base.run('udevadm', 'settle')
            (krbd.BUS / 'remove_single_major').write_text(made.name)

        cls.addClassCleanup(unmap)

    def setUp(self):
        super().setUp()
        self.caller = hostile.Caller(privileged.target_context)
        self.addCleanup(ceph_store.unmap_ours)
        self.addCleanup(self.caller.close)
        self.before = self.outside()

    def tearDown(self):
        self.assertEqual(self.before, self.outside())
        super().tearDown()

    def outside(self):
        """Return all that the caller has no business with."""
        mapped = sorted(
            (m.image.pool, m.image.name, m.image_id, m.number)
            for m in krbd.mappings()
            if (m.image.pool, m.image.name) not in (
                ('volumes', VOLUME), ('volumes', krbd.anchor(0))))
        images_of = {p: sorted((i['name'], i['id']) for i in
                               rbd.RBD().list2(io))
                     for p, io in self.pools.items()}
        files = {str(p): (p.stat().st_mode, hashlib.sha256(
            p.read_bytes()).hexdigest()) for p in Path(
            '/etc/ceph').iterdir() if p.is_file()}
        return mapped, images_of, files

    def valid(self):
        """Return what each verb takes, by its name and parameter."""
        named = {'conf': CONF, 'pool': 'volumes', 'image': VOLUME}
        with rbd.Image(self.pools['volumes'], VOLUME,
                       read_only=True) as image:
            its_id = image.id()
        client = {'conf': CONF, 'pool': 'volumes', 'target': 0}
        return {
            f'{CLIENTS}connect': client,
            f'{CLIENTS}map_image': {
                **client, 'image': VOLUME, 'image_id': its_id},
            f'{CLIENTS}unmap_image': {
                **client, 'image': VOLUME, 'by_force': False},
            f'{CLIENTS}disconnect': client,
            f'{KRBD}map_image': {
                **named, 'image_id': its_id, 'read_only': False},
            f'{KRBD}flush_image': named,
            f'{KRBD}unmap_image': named}

    def call(self, verb, **changes):
        """Call a verb with what is right, but for some changes."""
        return self.caller.one(
            verb, *{**self.valid()[verb], **changes}.values())

    def assert_done(self, verb, **changes):
        """A call does what it should."""
        answer = self.call(verb, **changes)
        self.assertEqual('done', answer.kind, answer.text)

    def assert_refused(self, because, verb, **changes):
        """A call comes to nothing, and says why."""
        answer = self.call(verb, **changes)
        self.assertEqual('refused', answer.kind, answer.text)
        self.assertIn(because, answer.text)
        self.assertEqual(self.before, self.outside())

    def clients(self):
        """Return the clients that our image is mapped with."""
        return [m.client for m in krbd.mappings()
                if (m.image.pool, m.image.name) == ('volumes', VOLUME)]

    def foreign(self):
        """Return the names of what belongs to others."""
        return ('images', 'legacy', f'{VOLUME}@snap', f'{VOLUME} -',
                f'volumes {VOLUME}', 'volumes/images', 'rbd0', '0 force',
                f'{self.planted}/ceph.conf', '/etc/ceph/../ceph/ceph.conf',
                '/etc/ceph/ceph.client.admin.keyring', 'admin',
                f'{VOLUME}\n', f'../images/{VOLUME}', '0' * 12,
                krbd.anchor(0), f'{VOLUME} osd_idle_ttl=60', 1, 64)

    def test_each_parameter_of_each_verb(self):
        verbs = {name: verb for name, verb in hostile.verbs_of(
            privileged.target_context).items() if name.startswith(VERBS)}
        values = (*hostile.VALUES, *self.foreign())
        seen, calls = {}, 0
        for verb, function in sorted(verbs.items()):
            good = self.valid().get(verb, {})
            self.assertEqual(
                hostile.parameters_of(function), list(good), 'tell the '
                f'hostile suite (test_hostile_rbd.py, valid) what {verb} '
                'takes')
            self.assert_done(f'{CLIENTS}connect')
            some = [[*({**good, name: value}.values())] for name in good
                    for value in hostile.mutations(good[name], values)]
            some += [[], [*good.values(), 1], [None] * 40]
            for answer, args in zip(self.caller.call(verb, some), some,
                                    strict=True):
                seen.setdefault(answer.kind, []).append(
                    f'{verb}({args!r:.200}): {answer.text:.200}')
            calls += len(some)
            self.assertEqual(self.before, self.outside(), verb)
        for kind in ('broken', 'blocked', 'lost'):
            self.assertEqual([], seen.get(kind, [])[:20])
        done = seen.get('done', ())
        # True for read_only and by_force is right, and so is target 0.
        self.assertLessEqual({d.partition('(')[0] for d in done}, {
            f'{KRBD}map_image', *(v for v in verbs if v.startswith(CLIENTS))
        }, done[:5])
        for call in done:
            self.assertIn(f"(['{CONF}', 'volumes', ", call)
        print(f'\n{len(verbs)} verbs, {calls} calls, {len(done)} did what '
              'ours may do', file=sys.stderr)

    def test_what_is_right_works(self):
        for verb in self.valid():
            for _ in range(2):
                self.assert_done(verb)

    # -- the clients of gateways

    def test_force_ends_no_use_of_this_host(self):
        self.assert_done(f'{CLIENTS}connect')
        self.assert_done(f'{KRBD}map_image')
        with open(f'/dev/rbd/volumes/{VOLUME}', 'rb') as f:
            self.assert_done(f'{CLIENTS}unmap_image', by_force=True)
            self.assertEqual(1, len(self.clients()))
            f.read(4096)

    def test_force_needs_the_client_of_the_target(self):
        self.assert_done(f'{CLIENTS}connect')
        self.assert_done(f'{CLIENTS}map_image')
        for number in (1, 63):
            self.assert_done(f'{CLIENTS}unmap_image', target=number,
                             by_force=True)
        self.assertEqual(1, len(self.clients()))

    def test_a_device_that_is_served_stays(self):
        self.assert_done(f'{CLIENTS}connect')
        self.assert_done(f'{CLIENTS}map_image')
        before, = self.clients()
        self.assert_done(f'{KRBD}unmap_image')
        self.assertEqual([before], self.clients())
        self.assert_refused('a gateway on this host', f'{KRBD}map_image',
                            image_id='abcdef123456')
        self.assertEqual([before], self.clients())
        base.run('udevadm', 'settle')
        with open(f'/dev/rbd/volumes/{VOLUME}', 'rb'):
            self.assert_refused('still in use', f'{CLIENTS}unmap_image')

    def test_a_client_that_is_used_stays(self):
        self.assert_done(f'{CLIENTS}connect')
        self.assert_done(f'{CLIENTS}map_image')
        self.assert_refused(VOLUME, f'{CLIENTS}disconnect')
        self.assertEqual(1, len(self.clients()))

    def test_no_image_without_the_client_of_its_target(self):
        self.assert_refused('has no client', f'{CLIENTS}map_image')
        self.assert_done(f'{KRBD}map_image')
        self.assert_done(f'{CLIENTS}connect')
        self.assert_refused('it is mapped with client',
                            f'{CLIENTS}map_image')

    def test_a_backend_without_gateways_has_no_clients(self):
        self.addCleanup(self.configure, ceph=ADDRESS)
        for text, backends in (('it has no mydriver_gateway_addresses',
                                {'ceph': ''}),
                               ('have pool volumes in common',
                                {'ceph': ADDRESS, 'more': '192.0.2.52'}),
                               ('have pool volumes in common',
                                {'ceph': ADDRESS, 'more': ''})):
            self.configure(**backends)
            for verb in self.valid():
                if verb.startswith(CLIENTS):
                    self.assert_refused(text, verb)

    # -- what was seen

    def test_a_device_in_use_stays(self):
        self.caller.one(f'{KRBD}map_image',
                        *self.valid()[f'{KRBD}map_image'].values())
        with open(f'/dev/rbd/volumes/{VOLUME}', 'rb'):
            answer = self.caller.one(f'{KRBD}unmap_image', CONF, 'volumes',
                                     VOLUME)
            self.assertEqual('refused', answer.kind)
            self.assertIn('still in use', answer.text)
        self.assertTrue(Path(f'/dev/rbd/volumes/{VOLUME}').exists())

    def test_another_image_of_that_name_is_not_served(self):
        answer = self.caller.one(f'{KRBD}map_image', CONF, 'volumes', VOLUME,
                                 'abcdef123456', False)
        self.assertEqual('refused', answer.kind)
        self.assertIn('is not abcdef123456', answer.text)

    def test_the_key_is_nowhere_to_be_seen(self):
        self.caller.one(f'{KRBD}map_image',
                        *self.valid()[f'{KRBD}map_image'].values())
        key = ceph_base.KEYRING.read_text().split('key = ')[1].split()[0]
        seen = [p.read_text() for p in krbd.BUS.glob('devices/*/config_info')]
        seen.append(Path('/proc/keys').read_text())
        seen.append(base.run('dmesg'))
        for text in seen:
            self.assertNotIn(key, text)
        self.assertNotIn('client.cinder', Path('/proc/keys').read_text())

    def test_a_configuration_of_others_is_refused(self):
        path = Path('/etc/ceph/ceph.conf')
        path.chmod(0o666)
        self.addCleanup(path.chmod, 0o644)
        answer = self.caller.one(
            f'{KRBD}map_image', *self.valid()[f'{KRBD}map_image'].values())
        path.chmod(0o644)
        self.assertEqual('refused', answer.kind)
        self.assertIn('can be written by others', answer.text)

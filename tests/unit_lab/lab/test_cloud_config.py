# SPDX-License-Identifier: Apache-2.0
"""What the builders of configuration write, and where passwords go."""

import configparser
import dataclasses
from pathlib import Path
import tempfile
import unittest

import ddt

from lab.cloud import credentials, driver, settings, site
from lab.cloud.config import cinder, glance, infra, ini, nova, write
from lab.cloud.control import services


def make_site(folder: Path = Path('/state'),
              **options: object) -> site.Site:
    return site.Site(settings.Options(**options), settings.Layout(folder),
                     credentials.Credentials.generate())


def secrets_of(cloud: site.Site) -> list[str]:
    return list(dataclasses.asdict(cloud.passwords).values())


def ini_text(section: ini.Section) -> dict[str, str]:
    """Return a section as it is read from a file."""
    parser = configparser.ConfigParser(default_section='none')
    parser.read_string(ini.render({'x': section}))
    return dict(parser['x'])


@ddt.ddt
class StoreTest(unittest.TestCase):

    @ddt.data(('reflink', '/var/lib/cinder/mydriver'),
              ('lvmthin', 'mydriver-volumes'))
    @ddt.unpack
    def test_backend_is_on_the_chosen_store(self, store: str,
                                            path: str) -> None:
        section = cinder.volume(make_site(store=store))['mydriver']
        self.assertEqual((store, path), (section['mydriver_store'],
                                         section['mydriver_store_path']))

    def test_several_cinder_volumes_are_a_cluster(self) -> None:
        one = cinder.volume(make_site(store='rbd', gateways=2))
        self.assertNotIn('cluster', one['DEFAULT'])
        self.assertTrue(one['coordination']['backend_url'].startswith('file:'))
        cloud = make_site(store='rbd', gateways=2, volumes=3)
        self.assertEqual(('storage', 'storage2', 'storage3'),
                         cloud.options.volume_nodes)
        for name in cloud.options.volume_nodes:
            sections = cinder.volume(cloud, name)
            self.assertEqual((name, 'lab', settings.address(name)), tuple(
                sections['DEFAULT'][k] for k in ('host', 'cluster', 'my_ip')))
            self.assertTrue(sections['coordination']['backend_url'].startswith(
                'etcd3+http://'))
            self.assertIn(('cinder', cinder.volume_conf(name)),
                          write.files(cloud))
        self.assertEqual(3, len(set(map(
            cinder.volume_conf, cloud.options.volume_nodes))))

    def test_backends_in_ceph_have_pools_and_no_path(self) -> None:
        options = settings.Options(store='rbd', native='always').full()
        cloud = site.Site(options, settings.Layout(Path('/state')),
                          credentials.Credentials.generate())
        sections = cinder.volume(cloud)
        for name, pool in (('mydriver', 'volumes'),
                           ('mydriver-2', 'volumes-2')):
            section = sections[name]
            self.assertNotIn('mydriver_store_path', section)
            self.assertEqual(
                ('rbd', pool, 'cinder', 'always'),
                tuple(section[f'mydriver_{key}'] for key in (
                    'store', 'rbd_pool', 'rbd_user', 'rbd_native')))
            self.assertIn(pool, settings.CEPH_POOLS)

    @ddt.data(('rbd', 'always', 'libvirt.LibvirtDriver', True),
              ('rbd', 'plugin', 'libvirt.LibvirtDriver', False),
              ('rbd', 'plugin', 'mydriver.LibvirtDriver', True),
              ('rbd', 'never', 'mydriver.LibvirtDriver', False),
              ('reflink', 'always', 'mydriver.LibvirtDriver', False))
    @ddt.unpack
    def test_natively(self, store: str, native: str, nova: str,
                      expected: bool) -> None:
        self.assertIs(expected, settings.Options(
            nova, store=store, native=native).natively)

    def test_targets_of_gateways_have_floating_addresses(self) -> None:
        for portals, first in ((1, '10.77.0.101'),
                               (2, '10.77.0.101+10.77.1.101')):
            cloud = make_site(store='rbd', gateways=2, portals=portals)
            section = cinder.volume(cloud)['mydriver']
            self.assertNotIn('target_ip_address', section)
            self.assertNotIn('target_secondary_ip_addresses', section)
            found = str(section['mydriver_gateway_addresses']).split(',')
            self.assertEqual((2, first), (len(found), found[0]))

    def test_no_two_hosts_have_one_address(self) -> None:
        octets = [1, 10, *settings.ALL_NODES.values(),
                  *(o for r in driver.FLOATING.values() for o in r)]
        self.assertEqual(len(octets), len(set(octets)))

    def test_a_gateway_has_the_backends_and_no_password(self) -> None:
        cloud = make_site(store='rbd', gateways=2)
        files = write.files(cloud)
        for name in ('gw1', 'gw2'):
            text = files['gateway', f'{name}.conf']
            parser = configparser.ConfigParser(default_section='none')
            parser.read_string(text)
            self.assertEqual(name, parser['DEFAULT']['host'])
            self.assertEqual(
                ini_text(cinder.volume(cloud)['mydriver']),
                dict(parser['mydriver']))
            for secret in secrets_of(cloud):
                self.assertNotIn(secret, text)
        self.assertNotIn(('gateway', 'gw3.conf'), files)

    def test_in_tree_driver_for_ceph(self) -> None:
        cloud = make_site(backends=('rbd',))
        section = cinder.volume(cloud)['rbd']
        self.assertIn(section['rbd_pool'], settings.CEPH_POOLS)
        self.assertTrue(cloud.options.ceph)
        self.assertFalse(settings.Options().ceph)

    def test_each_volume_group_is_there_when_it_is_used(self) -> None:
        both = ('mydriver', 'lvm')
        self.assertEqual((), settings.Options().volume_groups)
        self.assertEqual(('mydriver-volumes',), settings.Options(
            store='lvmthin').volume_groups)
        self.assertEqual(('stack-volumes',), settings.Options(
            backends=both).volume_groups)
        self.assertEqual(('stack-volumes', 'mydriver-volumes'),
                         settings.Options(backends=both, store='lvmthin'
                                          ).volume_groups)


class IniTest(unittest.TestCase):

    def test_render_is_what_a_parser_reads(self) -> None:
        text = ini.render({'DEFAULT': {'debug': True, 'host': 'a'},
                           'lvm': {'size': 5, 'empty': ''}})
        parser = configparser.ConfigParser(default_section='none')
        parser.read_string(text)
        self.assertEqual({'debug': 'true', 'host': 'a'},
                         dict(parser['DEFAULT']))
        self.assertEqual({'size': '5', 'empty': ''}, dict(parser['lvm']))

    def test_line_break_cannot_smuggle_an_option_in(self) -> None:
        with self.assertRaises(ValueError):
            ini.render({'a': {'host': 'x\ndebug = true'}})

    def test_merge_overrides_option_by_option(self) -> None:
        first = {'a': {'x': 1, 'y': 2}}
        merged = ini.merge(first, {'a': {'y': 3}, 'b': {'z': 4}})
        self.assertEqual({'a': {'x': 1, 'y': 3}, 'b': {'z': 4}}, merged)
        self.assertEqual({'a': {'x': 1, 'y': 2}}, first)


@ddt.ddt
class NovaTest(unittest.TestCase):

    def test_compute_has_no_database(self) -> None:
        cloud = make_site()
        conf = nova.compute(cloud)
        self.assertNotIn('database', conf)
        self.assertNotIn('api_database', conf)
        self.assertNotIn(cloud.passwords.database, ini.render(conf))

    @ddt.data('mydriver.LibvirtDriver', 'libvirt.LibvirtDriver')
    def test_compute_driver(self, driver: str) -> None:
        conf = nova.compute(make_site(compute_driver=driver))
        self.assertEqual(driver, conf['DEFAULT']['compute_driver'])
        self.assertIs(True, conf['DEFAULT']['debug'])

    @ddt.data((1, False), (2, True))
    @ddt.unpack
    def test_multipath_follows_portals(self, portals: int,
                                       multipath: bool) -> None:
        conf = nova.compute(make_site(portals=portals))
        self.assertIs(multipath, conf['libvirt']['volume_use_multipath'])

    def test_cell0_name_is_the_one_that_nova_makes_up(self) -> None:
        # nova.cmd.manage, cell0_default_connection: database + '_cell0'.
        url = nova.nova(make_site())['database']['connection']
        name = str(url).rpartition('/')[2].partition('?')[0]
        self.assertIn(f'{name}_cell0', infra.DATABASES)

    def test_both_talk_to_the_same_places(self) -> None:
        cloud = make_site()
        for conf in (nova.nova(cloud), nova.compute(cloud)):
            self.assertEqual(cloud.transport_url,
                             conf['DEFAULT']['transport_url'])
            self.assertEqual(settings.url('glance'),
                             conf['glance']['endpoint_override'])

    def test_privsep_needs_no_sudo(self) -> None:
        conf = nova.compute(make_site())
        for section in ('nova_sys_admin', 'privsep_osbrick',
                        'mydriver_privsep_initiator'):
            helper = str(conf[section]['helper_command'])
            self.assertTrue(helper.startswith('/'), helper)
            self.assertTrue(helper.endswith('/nova-cpu.conf'), helper)


@ddt.ddt
class CinderTest(unittest.TestCase):

    def test_our_backend(self) -> None:
        conf = cinder.volume(make_site())
        self.assertEqual('mydriver', conf['DEFAULT']['enabled_backends'])
        self.assertNotIn('lvm', conf)
        self.assertEqual(
            'mydriver.cinder_volume.driver.LIODriver',
            conf['mydriver']['volume_driver'])
        self.assertNotIn('target_secondary_ip_addresses', conf['mydriver'])
        self.assertIn('mydriver_privsep_target', conf)

    def test_store_and_journal_are_on_the_kept_disk_and_apart(self) -> None:
        section = cinder.volume(make_site())['mydriver']
        store = Path(str(section['mydriver_store_path']))
        journal = Path(str(section['mydriver_state_path']))
        for path in (store, journal):
            self.assertTrue(path.is_relative_to(cinder.STATE_PATH))
        self.assertFalse(journal.is_relative_to(store))

    @ddt.data('mydriver', 'lvm')
    def test_second_portal(self, backend: str) -> None:
        conf = cinder.volume(make_site(backends=(backend,), portals=2))
        self.assertEqual('10.77.0.11', conf[backend]['target_ip_address'])
        self.assertEqual('10.77.1.11',
                         conf[backend]['target_secondary_ip_addresses'])

    def test_both_backends(self) -> None:
        conf = cinder.volume(make_site(backends=('lvm', 'mydriver')))
        self.assertEqual('lvm,mydriver', conf['DEFAULT']['enabled_backends'])
        self.assertEqual('lvm', conf['DEFAULT']['default_volume_type'])
        self.assertEqual('cinder.volume.drivers.lvm.LVMVolumeDriver',
                         conf['lvm']['volume_driver'])
        self.assertIn('mydriver', conf)

    def test_full_has_a_second_backend_of_its_own(self) -> None:
        cloud = site.Site(settings.Options().full(),
                          settings.Layout(Path('/state')),
                          credentials.Credentials.generate())
        conf = cinder.volume(cloud)
        self.assertEqual('mydriver,mydriver-2',
                         conf['DEFAULT']['enabled_backends'])
        first, second = conf['mydriver'], conf['mydriver-2']
        self.assertEqual(
            {'volume_backend_name', 'mydriver_store_path'},
            {name for name in first if first[name] != second[name]})

    def test_one_file_of_a_backup_fits_into_a_node(self) -> None:
        options = cinder.backup()['DEFAULT']
        # A multiple of cinder's blocks for checksums, which it insists on.
        self.assertEqual(0, int(options['backup_file_size']) % 32768)
        self.assertLess(int(options['backup_file_size']), 32 << 20)

    def test_cinder_and_nova_have_the_same_key(self) -> None:
        cloud = make_site()
        keys = {conf['key_manager']['fixed_key'] for conf in (
            cinder.cinder(cloud), cinder.volume(cloud), nova.nova(cloud),
            nova.compute(cloud))}
        self.assertEqual({cloud.passwords.volume_key}, keys)
        self.assertEqual(16, len(bytes.fromhex(keys.pop())))

    def test_images_are_shared_only_where_their_files_are(self) -> None:
        for images, shown, schemes in (('control', False, None),
                                       ('storage', True, 'file'),
                                       ('rbd', True, None)):
            cloud = make_site(images=images)
            self.assertIs(shown, glance.glance(cloud)['DEFAULT'][
                'show_image_direct_url'])
            self.assertEqual(schemes, cinder.volume(cloud)['DEFAULT'].get(
                'allowed_direct_url_schemes'))

    def test_new_images_go_to_ceph_and_seeded_ones_do_not(self) -> None:
        found = glance.glance(make_site(images='rbd', store='rbd'))
        self.assertEqual('rbd', found['glance_store']['default_backend'])
        self.assertIn(found['rbd']['rbd_store_pool'], settings.CEPH_POOLS)
        names = [b.split(':')[0] for b in str(
            found['DEFAULT']['enabled_backends']).split(',')]
        self.assertEqual([glance.FILE, glance.RBD], names)
        self.assertNotIn('rbd', glance.glance(make_site()))

    def test_api_knows_no_backend_sections(self) -> None:
        self.assertNotIn('mydriver', cinder.cinder(make_site()))


class SecretsTest(unittest.TestCase):

    def test_argv_of_no_service_has_a_password(self) -> None:
        cloud = make_site()
        made = [services.mariadb(cloud), services.epmd(cloud),
                services.rabbitmq(cloud), services.keystone(cloud),
                services.glance(cloud), services.placement(cloud),
                services.neutron(cloud), services.nova_api(cloud),
                services.cinder_api(cloud),
                services.worker(cloud, 'nova-conductor')]
        for service in made:
            for secret in secrets_of(cloud):
                self.assertNotIn(secret, ' '.join(service.argv))
                self.assertNotIn(secret, ' '.join(service.env.values()))

    def test_every_file_with_a_password_is_for_its_owner_alone(self) -> None:
        with tempfile.TemporaryDirectory() as folder:
            cloud = make_site(Path(folder))
            cloud.passwords.save(cloud.layout.credentials)
            write.write(cloud)
            found = 0
            for path in Path(folder).rglob('*'):
                if path.is_file() and any(
                        s in path.read_text() for s in secrets_of(cloud)):
                    found += 1
                    self.assertEqual(0, path.stat().st_mode & 0o077, path)
            # Nine services' files, MariaDB's users, RabbitMQ's, Erlang's
            # cookie and the passwords' own; placement.conf among the nine.
            self.assertGreaterEqual(found, 11)

    def test_passwords_survive_a_file_and_hide_in_repr(self) -> None:
        with tempfile.TemporaryDirectory() as folder:
            made = credentials.Credentials.generate()
            path = Path(folder, 'credentials.json')
            made.save(path)
            self.assertEqual(made, credentials.Credentials.load(path))
        self.assertNotIn(made.admin, repr(made))

    def test_environment_is_not_the_callers(self) -> None:
        env = make_site().environment(EXTRA='x')
        self.assertEqual('x', env['EXTRA'])
        self.assertNotIn('PYTHONDONTWRITEBYTECODE', env)
        self.assertNotIn('http_proxy', env)


class WriteTest(unittest.TestCase):

    def test_rootwrap_points_at_our_filters_and_programs(self) -> None:
        with tempfile.TemporaryDirectory() as folder:
            cloud = make_site(Path(folder))
            write.write(cloud)
            path = cloud.layout.conf('cinder', 'rootwrap.conf')
            parser = configparser.ConfigParser()
            parser.read(path)
            filters = Path(parser['DEFAULT']['filters_path'])
            self.assertTrue((filters / 'volume.filters').exists())
            self.assertTrue(parser['DEFAULT']['exec_dirs'].startswith(
                f'{settings.VENV}/bin,'))

    def test_sockets_name_does_not_grow_with_the_path(self) -> None:
        for folder in ('/a', '/a' * 100):
            conf = infra.mariadb(make_site(Path(folder)))
            self.assertEqual('mysql.sock', conf['mariadbd']['socket'])

    def test_nothing_listens_on_every_address(self) -> None:
        cloud = make_site()
        for text in write.files(cloud).values():
            self.assertNotIn('0.0.0.0', text)
        self.assertEqual(settings.CONTROL,
                         infra.mariadb(cloud)['mariadbd']['bind-address'])
        self.assertIn(f'listeners.tcp.default = {settings.CONTROL}:',
                      infra.rabbitmq(cloud))

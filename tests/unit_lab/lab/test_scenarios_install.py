# SPDX-License-Identifier: Apache-2.0
"""What a run of the installation types, edits and compares."""

import json
import os
from pathlib import Path
import shutil
import stat
import subprocess
import tempfile
import unittest
from unittest import mock

from lab import netns, paths
from lab.cloud import driver
from lab.scenarios.install import (
    chroot,
    cli,
    documents,
    editing,
    given,
    host,
    machine,
    manifest,
    removing,
    roots,
)
from mydriver.hostfiles import catalogue, choices
from tests.unit_lab.lab.test_cloud_config import make_site

_README = '''# Title

## On a real cloud

As root:

    pip install '.[storage]'        # storage host
    mkfs.xfs /dev/sdb               # mount it at /srv/mydriver
    install -d /srv/mydriver/files
    mydriver setup storage --install  # then do what it lists
    # copy from /etc/a.sample to /etc/a

    pip install '.[compute]'        # compute host

For lvmthin:

    vgcreate fast-volumes /dev/sdb
    mydriver setup storage --store lvmthin --install

## More

    not this
'''


class DocumentsTest(unittest.TestCase):
    """The commands of the documents."""

    def test_lines_of_readme(self):
        storage, compute = documents.real_cloud(_README)
        self.assertEqual(
            [documents.Line("pip install '.[storage]'"),
             documents.Line('mkfs.xfs /dev/ubda', documents.MOUNT,
                            ('/srv/mydriver',)),
             documents.Line('install -d /srv/mydriver/files'),
             documents.Line('mydriver setup storage --install',
                            documents.LISTED),
             documents.Line('', documents.COPY, ('/etc/a.sample', '/etc/a'))],
            storage)
        self.assertEqual([documents.Line("pip install '.[compute]'")], compute)

    def test_store_in_a_volume_group(self):
        storage, _ = documents.real_cloud(_README)
        self.assertEqual(
            ["pip install '.[storage]'", 'vgcreate fast-volumes /dev/ubda',
             'mydriver setup storage --store lvmthin --install', ''],
            [line.command for line in documents.for_thin_pool(
                storage, documents.thin_pool(_README))])

    def test_unknown_comment_is_an_error(self):
        text = _README.replace('# storage host', '# sign here')
        with self.assertRaisesRegex(documents.DocumentError, 'sign here'):
            documents.real_cloud(text)

    def test_missing_chapter_is_an_error(self):
        with self.assertRaisesRegex(documents.DocumentError, 'chapter'):
            documents.real_cloud('# Title\n')

    def test_documents_of_the_tree(self):
        readme = documents.README.read_text()
        page = documents.PAGE.read_text()
        storage, compute = documents.real_cloud(readme)
        for lines in (storage, compute):
            self.assertRegex(lines[0].command, r"/bin/pip install '\.\[")
            self.assertEqual(1, sum(
                line.action == documents.COPY for line in lines))
            self.assertTrue(any(' setup ' in line.command for line in lines))
        self.assertIn('lvmthin', documents.thin_pool(readme)[1].command)
        for lines in documents.packages(page).values():
            self.assertEqual(2, len(lines))
            for line in lines:
                self.assertIn(' -y install ', line.command)


class EditingTest(unittest.TestCase):
    """What an operator edits."""

    def test_sample_is_merged(self):
        text = editing.with_sample(
            '[DEFAULT]\nenabled_backends = \nhost = a\n[keep]\nx = 1\n',
            '# Text = no option\n[DEFAULT]\nenabled_backends = files\n'
            '[files]\n#off = 1\ntarget_ip_address = 192.0.2.11\n'
            'helper_command = sudo a --config-file b\n', '10.0.0.1')
        self.assertEqual(
            '[DEFAULT]\nenabled_backends = files\nhost = a\n\n'
            '[keep]\nx = 1\n\n[files]\ntarget_ip_address = 10.0.0.1\n'
            'helper_command = sudo a --config-file b\n', text)

    def test_filter(self):
        self.assertEqual(
            'devices {\n\tglobal_filter = [ "a|^/dev/b$|", "r|.*|" ]\n'
            '\tx\n}\n',
            editing.with_filter('devices {\n\tx\n}\n', '/dev/b'))
        with self.assertRaises(ValueError):
            editing.with_filter('', '/dev/b')

    def test_list_of_setup(self):
        output = ('new: /etc/x\nTo do:\n* Copy what you need of a to b.\n'
                  '* Give b to root: chown root:c b; chmod 0640 b.\n'
                  '* systemctl enable --now iscsid.\n')
        items = editing.left_to_do(output)
        self.assertEqual(3, len(items))
        self.assertEqual(
            ['', 'chown root:c b; chmod 0640 b',
             'systemctl enable --now iscsid'],
            [editing.commands_in(i) for i in items])
        with self.assertRaisesRegex(ValueError, 'Pray'):
            editing.commands_in('Pray')
        self.assertEqual([], editing.left_to_do('Nothing to do: all well.\n'))


class ManifestTest(unittest.TestCase):
    """The record of a root's files."""

    def setUp(self):
        super().setUp()
        self.root = Path(tempfile.mkdtemp())
        self.addCleanup(shutil.rmtree, self.root)
        for folder in ('etc/a', 'run', 'var/log', 'var/lib/nova'):
            (self.root / folder).mkdir(parents=True)
        (self.root / 'etc/a/file').write_text('1')
        (self.root / 'etc/link').symlink_to('a')

    def changed(self, *own: str) -> list[str]:
        """Return the differences to what :meth:`setUp` made."""
        return manifest.differences(self.before, manifest.record(self.root),
                                    own)

    @property
    def before(self) -> manifest.Manifest:
        return self._before

    def test_differences(self):
        self._before = manifest.record(self.root)
        self.assertEqual([], self.changed())
        file = self.root / 'etc/a/file'
        for change, words in (
                (lambda: file.write_text('2'), 'etc/a/file: was'),
                (lambda: file.chmod(0o600), '-rw-------'),
                (lambda: os.chown(file, 7, 8), '7:8'),
                (file.unlink, 'etc/a/file: is gone'),
                (lambda: (self.root / 'etc/b').mkdir(), '/etc/b: is new')):
            change()
            self.assertIn(words, '\n'.join(self.changed()))
            self._before = manifest.record(self.root)
        (self.root / 'etc/link').unlink()
        (self.root / 'etc/link').symlink_to('b')
        self.assertIn('-> b', self.changed()[0])

    def test_a_directory_may_be_new_and_not_what_is_in_it(self):
        self._before = manifest.record(self.root)
        (self.root / 'etc/b').mkdir()
        self.assertEqual([], self.changed('/etc/b/'))
        (self.root / 'etc/b/x').touch()
        left, = self.changed('/etc/b/')
        self.assertTrue(left.startswith('/etc/b/x: is new'), left)
        self.assertEqual([], self.changed('/etc/b'))

    def test_what_does_not_last_is_left_out(self):
        self._before = manifest.record(self.root)
        (self.root / 'run/x').touch()
        (self.root / 'var/log/x').touch()
        self.assertEqual([], self.changed())

    def test_what_others_change_can_be_left_out(self):
        self._before = manifest.record(self.root)
        (self.root / 'var/lib/nova/x').touch()
        (self.root / 'var/lib/novae').touch()
        self.assertEqual(1, len(self.changed('/var/lib/nova')))


class OverlayTest(unittest.TestCase):
    """What a host sees whose root is below an overlay."""

    def test_what_was_written_counts(self):
        self.assertEqual(
            {'/a': 'd', '/a/new': '1', '/c': 'd', '/c/y': '2', '/e': '4'},
            manifest.overlaid(
                {'/a': 'd', '/a/x': '0', '/b': 'd', '/b/z': '0', '/c': 'd',
                 '/c/old': '0', '/e': '3'},
                {'/a': 'd', '/a/new': '1', '/a/x': 'gone', '/b': 'gone',
                 '/c': 'opaque d', '/c/y': '2', '/e': '4'}))

    def test_marks_of_the_overlay_are_read(self):
        root = Path(tempfile.mkdtemp(dir=paths.STATE))
        self.addCleanup(shutil.rmtree, root)
        os.mknod(root / 'a', 0o600 | stat.S_IFCHR, 0)
        (root / 'b').mkdir()
        os.setxattr(root / 'b', 'trusted.overlay.opaque', b'y')
        found = manifest.record(root)
        self.assertEqual('gone', found['/a'])
        self.assertRegex(found['/b'], '^opaque d')

    def test_record_of_a_host_needs_no_package(self):
        root = Path(tempfile.mkdtemp())
        self.addCleanup(shutil.rmtree, root)
        (root / 'x').write_text('1')
        printed = subprocess.run(
            ['/usr/bin/python3', '-I', '-S', manifest.__file__, str(root)],
            check=True, capture_output=True, text=True).stdout
        self.assertEqual(manifest.record(root), json.loads(printed))


class ChrootTest(unittest.TestCase):
    """Commands in another root, here one that has only busybox."""

    def setUp(self):
        super().setUp()
        self.root = Path(tempfile.mkdtemp(dir=paths.STATE))
        self.addCleanup(shutil.rmtree, self.root)
        for folder in ('bin', 'dev', 'etc', 'proc', 'run', 'usr/sbin'):
            (self.root / folder).mkdir(parents=True)
        shutil.copy('/bin/busybox', self.root / 'bin/sh')
        self.before = manifest.record(self.root)

    def test_command_runs_there_and_nothing_stays(self):
        (self.root / 'etc/name').write_text('the root\n')
        output = chroot.run(self.root, ['/bin/sh', '-c', (
            'read -r name < /etc/name; echo "$name $PWD $A";'
            'read -r line < /run/there; echo "$line"; echo x > /dev/null')],
            cwd='/etc', env={'A': 'b'},
            binds={self.root / 'etc/name': '/run/there'})
        self.assertEqual('the root /etc b\nthe root\n', output)
        (self.root / 'etc/name').unlink()
        self.assertEqual([], manifest.differences(
            self.before, manifest.record(self.root)))
        self.assertEqual([], os.listdir(self.root / 'run'))
        self.assertNotIn(str(self.root),
                         Path('/proc/self/mounts').read_text())

    def test_failure_shows_the_output(self):
        with self.assertRaisesRegex(
                machine.CommandFailed, f'{self.root}: status 3\nwhy'):
            chroot.run(self.root, ['/bin/sh', '-c', 'echo why >&2; exit 3'])


class MachineTest(unittest.TestCase):
    """Commands of the machine, from within a network of the cloud's kind."""

    def test_networks(self):
        mine = os.readlink('/proc/self/ns/net')
        show = ['readlink', '/proc/self/ns/net']
        name = f'unit-{os.getpid()}'
        netns.create(name)
        self.addCleanup(netns.delete, name)
        with netns.inside(name):
            self.assertNotEqual(mine, machine.run(show).strip())
            self.assertEqual(mine, machine.run(show, online=True).strip())

    def test_base_is_fetched_in_the_network_of_the_machine(self):
        with tempfile.TemporaryDirectory() as state, \
                mock.patch.object(roots, 'STATE', Path(state)), \
                mock.patch.object(machine, 'run',
                                  side_effect=machine.CommandFailed) as run, \
                self.assertRaises(machine.CommandFailed):
            roots.base()
        self.assertIn('debootstrap', run.call_args.args[0])
        self.assertTrue(run.call_args.kwargs['online'])

    def test_command_that_hangs(self):
        with self.assertRaisesRegex(machine.CommandFailed, 'more than'):
            machine.run(['sleep', '60'], timeout_s=0.5)

    def test_command_that_does_not_exist(self):
        with self.assertRaisesRegex(machine.CommandFailed,
                                    'cannot run no-such-program: '):
            machine.run(['no-such-program'])


class GivenTest(unittest.TestCase):
    """Hosts as they are before the driver is installed."""

    def test_files(self):
        root = Path(tempfile.mkdtemp())
        self.addCleanup(shutil.rmtree, root)
        for folder in ('etc/systemd/system', 'etc/libvirt', 'var/lib/nova',
                       'opt/nova/etc/nova/rootwrap.d'):
            (root / folder).mkdir(parents=True)
        rootwrap = 'opt/nova/etc/nova/rootwrap'
        (root / f'{rootwrap}.conf').write_text('exec_dirs=/usr/bin\n')
        (root / f'{rootwrap}.d/x.filters').write_text('[Filters]\n')
        (root / 'etc/passwd').write_text('root:x:0:0::/:/bin/sh\n'
                                         'nova:x:990:991::/:/bin/sh\n')
        given.write(root, roots.COMPUTE, make_site())
        config = root / 'etc/nova/nova.conf'
        found = config.stat()
        self.assertEqual((0o640, 990, 991), (
            found.st_mode & 0o777, found.st_uid, found.st_gid))
        self.assertIn('libvirt.LibvirtDriver', config.read_text())
        unit = root / 'etc/systemd/system/nova-compute.service'
        self.assertIn('User=nova\n', unit.read_text())
        self.assertIn('10.77.0.11 storage\n',
                      (root / 'etc/hosts').read_text())
        self.assertEqual('exec_dirs=/opt/nova/bin,/usr/bin\n',
                         (root / 'etc/nova/rootwrap.conf').read_text())
        self.assertEqual('[Filters]\n', (
            root / 'etc/nova/rootwrap.d/x.filters').read_text())
        subprocess.run(['visudo', '-c', '-q', '-f',
                        root / 'etc/sudoers.d/nova'], check=True)

    def test_configuration_has_nothing_of_the_driver(self):
        for kind in roots.KINDS:
            found = given.configuration(kind, make_site())
            self.assertIn('transport_url', found['DEFAULT'])
            self.assertNotIn(driver.PACKAGE, repr(found))
            self.assertNotIn('helper_command', repr(found))


class RemovingTest(unittest.TestCase):

    def test_files_of_setup_are_not_left_out(self):
        for kind, options in (
                (choices.COMPUTE, {}), (choices.STORAGE, {
                    'store': ['reflink', 'lvmthin']})):
            for file in catalogue.files(choices.choose(
                    kind, {'bindir': '/opt/x/bin', **options})):
                self.assertEqual(1, len(manifest.differences(
                    {}, {file.path: ''}, removing.OWN[kind])), file.path)


class TableTest(unittest.TestCase):

    def test_commands_and_times(self):
        self.assertEqual(
            'Host        Time  Command\nstorage     1.5 s  true',
            cli.table([host.Typed('storage', 'true', 1.46, 0, '')]))

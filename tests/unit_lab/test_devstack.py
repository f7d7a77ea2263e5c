# SPDX-License-Identifier: Apache-2.0
"""DevStack's plugin, run in bash with stubs in place of DevStack.

The stubs write below a temporary directory, and record programs that need
root instead of running them.
"""

import configparser
import os
from pathlib import Path
import re
import shutil
import subprocess
import tempfile
import textwrap
import unittest

import ddt
from oslo_config import cfg

from mydriver import privileged
from mydriver.cmd import backends
from mydriver.privileged import grants
from mydriver.stores import identity
from mydriver.stores.reflink import directory
from mydriver.target.journal import sqlite

ROOT = Path(__file__).resolve().parents[2]
PLUGIN = ROOT / 'devstack'

#: DevStack, as far as the plugin knows it. ``iniset`` records what it is
#: told: FILE, SECTION, OPTION and VALUE, one line each time.
STUBS = r'''
set -eu
TOP=$PWD
DEST=$TOP/opt
DATA_DIR=$TOP/data
STACK_USER=stack
CINDER_BIN_DIR=/opt/stack/data/venv/bin
NOVA_BIN_DIR=/opt/stack/data/venv/bin
CINDER_CONF=$TOP/etc/cinder/cinder.conf
NOVA_CONF=$TOP/etc/nova/nova.conf
CINDER_STATE_PATH=$DATA_DIR/cinder
CINDER_MY_IP=192.0.2.7
CINDER_TARGET_PORT=3260
CINDER_TARGET_PREFIX=iqn.2010-10.org.openstack:
MYDRIVER_CONF_DIR=$TOP/etc/mydriver
MYDRIVER_SUDOERS=$TOP/etc/sudoers.d/mydriver
MYDRIVER_MODULES=$TOP/etc/modules-load.d/mydriver.conf
: ${ENABLED:=c-vol n-cpu} ${OLD_SUDO:=}

record() { echo "$*" >> "$TOP/calls"; }
iniset() {
    [[ $1 != -sudo ]] || shift
    printf '%s\t' "$1" "$2" "$3" >> "$TOP/ini"
    printf '%s\n' "$4" >> "$TOP/ini"
}
iniget() {
    touch "$TOP/ini"
    awk -F'\t' -v f="$1" -v s="$2" -v o="$3" \
        '$1 == f && $2 == s && $3 == o { v = $4 } END { print v }' "$TOP/ini"
}
is_service_enabled() {
    local name
    for name; do [[ " $ENABLED " != *" $name "* ]] || return 0; done
    return 1
}
trueorfalse() {
    local value=${!2:-$1}
    [[ ${value,,} =~ ^(true|yes|1)$ ]] && echo True || echo False
}
die() { echo "died at $*" >&2; exit 9; }
echo_summary() { record summary "$*"; }
define_plugin() { record plugin "$1"; }
install_package() { record packages "$*"; }
setup_develop() { record develop "$*"; }
mountpoint() { [[ -e "$2.mounted" ]]; }
sudo() {
    record root "$*"
    case $1 in
        install)
            local words=()
            while (($#)); do
                case $1 in -o|-g) shift ;; *) words+=("$1") ;; esac
                shift
            done
            "${words[@]}" ;;
        mount) touch "$5.mounted" ;;
        umount) rm "$2.mounted" ;;
        visudo) [[ -z $OLD_SUDO ]] ;;
        vgs) [[ -e $TOP/group ]] ;;
        vgcreate) touch "$TOP/group" ;;
        losetup) [[ $2 == --detach ]] || echo /dev/loop7 ;;
        chown|modprobe|vgremove) ;;
        *) "$@" ;;
    esac
}
mkdir -p etc/cinder etc/nova etc/sudoers.d etc/modules-load.d opt
source "$PLUGIN/override-defaults"
source "$PLUGIN/settings"
phase() { source "$PLUGIN/plugin.sh" "$@"; }
'''

#: What stack.sh does, in its order.
STACK = '''
phase stack pre-install
phase stack install
configure_cinder_backend_mydriver fast
configure_cinder_backend_mydriver spare
init_cinder_backend_mydriver fast
phase stack post-config ''
phase stack extra
'''


@ddt.ddt
class DevStackTest(unittest.TestCase):
    """Each test has a root directory of its own."""

    def setUp(self):
        super().setUp()
        self.top = Path(self.enterContext(tempfile.TemporaryDirectory()))

    def bash(self, script, status=0, **settings):
        """Run a script after the stubs; returns its standard error."""
        path = os.pathsep.join((os.environ['PATH'], '/usr/sbin', '/sbin'))
        done = subprocess.run(
            ['bash', '-c', STUBS + textwrap.dedent(script)], cwd=self.top,
            env={'PATH': path, 'PLUGIN': str(PLUGIN),
                 'MYDRIVER_BACKING_FILE_SIZE': '400M', **settings},
            capture_output=True, text=True, check=False)
        self.assertEqual(status, done.returncode, done.stderr)
        return done.stderr

    def calls(self, what):
        """Return what was recorded of a kind."""
        path = self.top / 'calls'
        return [line.partition(' ')[2]
                for line in path.read_text().splitlines()
                if line.partition(' ')[0] == what]

    def ini(self, name):
        """Return the sections of a file, as options by name."""
        found = {}
        for line in (self.top / 'ini').read_text().splitlines():
            path, section, option, value = line.split('\t')
            if path == str(self.top / name):
                found.setdefault(section, {})[option] = value
        return found

    def conf(self, name, more=''):
        """Write a file as oslo.config reads it; returns its path."""
        parser = configparser.RawConfigParser()
        for section, options in self.ini(name).items():
            if section == 'DEFAULT':
                parser['DEFAULT'].update(options)
            else:
                parser[section] = options
        path = self.top / 'as-read.conf'
        with path.open('w') as f:
            f.write(more)
            parser.write(f)
        return str(path)

    # -- what stack.sh gets

    def test_the_backend_is_one_of_ours(self):
        self.bash(STACK)
        path = self.conf('etc/cinder/cinder.conf')
        text = Path(path).read_text()
        Path(path).write_text(
            '[DEFAULT]\nenabled_backends = fast,spare\nstate_path = '
            f'{self.top}/data/cinder\n{text}')
        self.addCleanup(cfg.CONF.clear)
        fast, spare = backends.read([path])
        self.assertTrue(fast.settings.chap)
        self.assertEqual(['192.0.2.7'],
                         [p.address for p in fast.settings.portals])
        self.assertEqual(
            [f'{self.top}/data/mydriver/{name}' for name in ('fast', 'spare')],
            [b.section.safe_get('mydriver_store_path')
             for b in (fast, spare)])

    def test_roots_file_grants_what_the_backend_uses(self):
        self.bash(STACK)
        granted = grants._read([self.conf('etc/mydriver/cinder.conf')])
        mine = self.ini('etc/cinder/cinder.conf')
        self.assertEqual(
            {(name, mine[name]['mydriver_store_path'])
             for name in ('fast', 'spare')},
            {(g.backend, g.place) for g in granted.places})

    def test_roots_files_belong_to_root(self):
        self.bash(STACK)
        folder = f'{self.top}/etc/mydriver'
        made = [c for c in self.calls('root') if c.startswith('install')
                and folder in c]
        self.assertEqual(
            [f'install -d -o root -g root -m 0755 {folder}',
             f'install -o root -g root -m 0644 /dev/null {folder}/cinder.conf',
             f'install -o root -g root -m 0644 /dev/null {folder}/nova.conf'],
            list(dict.fromkeys(made)))

    def test_stacked_again(self):
        self.bash(STACK)
        before = (self.ini('etc/mydriver/cinder.conf'),
                  self.ini('etc/cinder/cinder.conf'))
        self.bash(STACK)
        self.assertEqual(before, (self.ini('etc/mydriver/cinder.conf'),
                                  self.ini('etc/cinder/cinder.conf')))
        self.assertEqual(1, len([c for c in self.calls('root')
                                 if c.startswith('mkfs')]))

    def test_reflink(self):
        self.bash(STACK)
        file = self.top / 'data/mydriver/fast.img'
        self.assertEqual(400 * 1024 ** 2, file.stat().st_size)
        with file.open('rb') as f:
            self.assertEqual(b'XFSB', f.read(4))
        self.assertTrue((self.top / 'data/mydriver/fast.mounted').exists())
        self.assertIn(f'chown stack {self.top}/data/mydriver/fast',
                      self.calls('root'))
        self.assertEqual(
            0o750, (self.top / 'data/mydriver/fast').stat().st_mode & 0o777)

    def test_lvmthin(self):
        self.bash(STACK, MYDRIVER_STORE='lvmthin')
        self.bash('phase stack install\ninit_cinder_backend_mydriver fast',
                  MYDRIVER_STORE='lvmthin')
        conf = self.ini('etc/cinder/cinder.conf')['fast']
        self.assertEqual(('lvmthin', 'mydriver-fast'), (
            conf['mydriver_store'], conf['mydriver_store_path']))
        self.assertEqual(
            ['vgcreate mydriver-fast /dev/loop7'],
            [c for c in self.calls('root') if c.startswith('vgcreate')])

    def test_a_store_that_there_is_not(self):
        said = self.bash(STACK, MYDRIVER_STORE='rbd', status=9)
        self.assertIn('MYDRIVER_STORE is rbd: use reflink or lvmthin', said)

    def test_packages(self):
        self.bash(STACK)
        names, = (set(c.split()) for c in self.calls('packages'))
        wanted = {name for name, selectors in re.findall(
            r'^(\S+) +\[(.*)\]$', (ROOT / 'bindep.txt').read_text(), re.M)
            if {'storage', 'compute'} & set(selectors.split())}
        self.assertEqual(set(), wanted - names)
        self.assertEqual([f'{self.top}/opt/mydriver storage,compute'],
                         self.calls('develop'))
        self.assertEqual(
            'target_core_mod\niscsi_target_mod\n',
            (self.top / 'etc/modules-load.d/mydriver.conf').read_text())

    # -- nova

    def test_nova(self):
        self.bash(STACK)
        conf = self.ini('etc/nova/nova.conf')
        self.assertEqual('mydriver.LibvirtDriver',
                         conf['DEFAULT']['compute_driver'])
        self.assertIn('/etc/mydriver/nova.conf',
                      conf['mydriver_privsep_initiator']['helper_command'])

    @ddt.data({'MYDRIVER_NOVA_DRIVER': 'False'}, {'ENABLED': 'c-vol'})
    def test_stock_nova(self, settings):
        self.bash(STACK, **settings)
        self.assertEqual({}, self.ini('etc/nova/nova.conf'))
        self.assertNotIn('initiator', (
            self.top / 'etc/sudoers.d/mydriver').read_text())

    def test_compute_host(self):
        self.bash('phase stack pre-install\nphase stack install\n'
                  'phase stack post-config', ENABLED='n-cpu')
        self.assertFalse((self.top / 'etc/modules-load.d/mydriver.conf'
                          ).exists())
        self.assertNotIn('target_context', (
            self.top / 'etc/sudoers.d/mydriver').read_text())

    def test_neither(self):
        self.bash('phase stack pre-install\nphase stack install\n'
                  'phase stack post-config\nphase clean', ENABLED='n-api')
        self.assertEqual(['mydriver'], self.calls('plugin'))
        self.assertEqual([], self.calls('root') + self.calls('develop'))

    # -- sudo

    @ddt.data(
        ('etc/cinder/cinder.conf', 'mydriver_privsep_target',
         privileged.target_context),
        ('etc/nova/nova.conf', 'mydriver_privsep_initiator',
         privileged.initiator_context))
    @ddt.unpack
    def test_sudo_allows_what_the_service_runs(self, name, section, context):
        self.bash(STACK)
        cfg.CONF.set_override(
            'helper_command', self.ini(name)[section]['helper_command'],
            group=section)
        self.addCleanup(cfg.CONF.clear_override, 'helper_command',
                        group=section)
        sudo, program, *arguments = context.helper_command(
            '/tmp/tmp4x_y/privsep.sock')
        self.assertEqual('sudo', sudo)
        rules = re.findall(r'^stack ALL=\(root\) NOPASSWD: (\S+) (\^.*\$)$', (
            self.top / 'etc/sudoers.d/mydriver').read_text(), re.M)
        self.assertEqual(2, len(rules))
        allowed = [expression for path, expression in rules
                   if path == program
                   and re.search(expression, ' '.join(arguments))]
        self.assertEqual(1, len(allowed))
        self.assertNotRegex(' '.join(['--config-file', '/tmp/x', *arguments]),
                            allowed[0])

    def test_an_old_sudo(self):
        self.bash(STACK, OLD_SUDO='1')
        self.assertFalse((self.top / 'etc/sudoers.d/mydriver').exists())
        self.assertTrue([c for c in self.calls('summary') if '1.9.10' in c])

    # -- clean.sh

    @ddt.data('reflink', 'lvmthin')
    def test_clean(self, store):
        self.bash(STACK, MYDRIVER_STORE=store)
        self.keep_state('fast')
        self.bash('phase unstack\nphase clean\n'
                  'cleanup_cinder_backend_mydriver fast\n'
                  'cleanup_cinder_backend_mydriver spare',
                  MYDRIVER_STORE=store)
        left = [p.relative_to(self.top) for p in self.top.rglob('*')
                if not p.is_dir() and p.name not in ('calls', 'ini', 'group')]
        self.assertEqual([], left)
        self.assertFalse((self.top / 'etc/mydriver').exists())
        calls = self.calls('root')
        if store == 'lvmthin':
            self.assertIn('vgremove -q -f mydriver-fast', calls)
            self.assertIn('losetup --detach /dev/loop7', calls)
        else:
            self.assertIn(f'umount {self.top}/data/mydriver/fast', calls)

    def keep_state(self, name):
        """Write what a backend remembers, as it does."""
        state = self.top / 'data/cinder/mydriver' / name
        state.mkdir(parents=True)
        (state / sqlite.FILE_NAME).touch()
        (state / identity.RECORD).write_text('1')
        return state

    def test_stacked_again_after_unstack(self):
        """A new store is not taken for an old one that is missing."""
        self.bash(STACK)
        kept = self.keep_state('spare')
        state = self.keep_state('fast')
        path = str(self.top / 'data/mydriver/fast')

        def opened():
            return directory.Directory(
                path, identity.Record(str(state / identity.RECORD)))

        (state / identity.RECORD).unlink()
        opened().keep_identity()
        self.bash('phase unstack\ncleanup_cinder_backend_mydriver fast')
        self.assertFalse(state.exists())
        self.assertTrue((kept / identity.RECORD).exists())
        self.bash(STACK)
        state.mkdir()
        with opened().work('open'):
            pass

    def test_clean_removes_nothing_for_no_name(self):
        kept = self.keep_state('fast')
        for setting, name in (('', "''"), ('CINDER_STATE_PATH=', 'fast')):
            self.bash(f'phase unstack\n{setting}\n'
                      f'cleanup_cinder_backend_mydriver {name}', status=1)
        self.assertTrue((kept / identity.RECORD).exists())

    # -- settings

    def test_settings(self):
        shown = 'echo $CINDER_ENABLED_BACKENDS $TEMPEST_VOLUME_VENDOR >&2'
        self.assertEqual('mydriver:mydriver Open Source\n', self.bash(shown))
        self.assertEqual('lvm:x Mine\n', self.bash(
            shown, CINDER_ENABLED_BACKENDS='lvm:x',
            TEMPEST_VOLUME_VENDOR='Mine'))

    def test_readme_explains_them(self):
        named = set(re.findall(r'^(MYDRIVER_\w+)=', (
            PLUGIN / 'settings').read_text(), re.M)) - {'MYDRIVER_DIR'}
        self.assertEqual(set(), named - set(re.findall(
            r'``(MYDRIVER_\w+)``', (PLUGIN / 'README.rst').read_text())))

    def test_shell_is_linted(self):
        """The stage ``lint (shell)`` has every script of the plugin."""
        from tools import suite
        scripts = {f'devstack/{p.name}' for p in PLUGIN.iterdir()
                   if p.suffix != '.rst'}
        self.assertLessEqual(scripts, set(suite.SHELL))
        for name in suite.SHELL:
            self.assertEqual(0, subprocess.run(
                [shutil.which('bash'), '-n', str(ROOT / name)],
                check=False).returncode)

# SPDX-License-Identifier: Apache-2.0
"""The options: what is offered, and that they load anywhere."""

from importlib import metadata
import inspect
import pathlib
import subprocess
import sys
import textwrap
import tomllib
import unittest

from cinder.volume import configuration
from cinder.volume import driver as cinder_driver
from oslo_config import cfg

from mydriver import opts, privileged
from mydriver.backend import opts as backend_opts

ROOT = pathlib.Path(__file__).parents[3]


class OptsTest(unittest.TestCase):
    """What operators read."""

    def test_ours_begin_with_our_name_and_are_explained(self):
        for opt in backend_opts.VOLUME_OPTS:
            with self.subTest(opt.name):
                self.assertTrue(opt.name.startswith('mydriver_'))
                text = opt.help.strip()
                self.assertTrue(text[0].isupper())
                self.assertIn('Related options:', text)

    def test_related_options_exist(self):
        known = {o.name for o in backend_opts.VOLUME_OPTS} | set(
            backend_opts.USED_OF_CINDER)
        for opt in backend_opts.VOLUME_OPTS:
            for line in opt.help.splitlines():
                if line.startswith('* ``'):
                    self.assertIn(line.strip('*` '), known)

    def test_numbers_have_bounds(self):
        for opt in backend_opts.VOLUME_OPTS:
            if isinstance(opt, cfg.IntOpt | cfg.FloatOpt):
                self.assertIsNotNone(opt.type.min, opt.name)
                self.assertIsNotNone(opt.type.max, opt.name)

    def test_choices_are_described(self):
        store = next(o for o in backend_opts.VOLUME_OPTS
                     if o.name == 'mydriver_store')
        self.assertEqual(['reflink', 'lvmthin', 'rbd'],
                         list(store.type.choices))
        self.assertTrue(all(store.type.choices.values()))

    def test_those_of_cinder_are_there(self):
        theirs = {o.name for o in cinder_driver.volume_opts}
        self.assertLessEqual(set(backend_opts.USED_OF_CINDER), theirs)

    def test_none_of_ours_is_cinders(self):
        theirs = {o.name for o in cinder_driver.volume_opts}
        self.assertFalse(theirs & {o.name for o in backend_opts.VOLUME_OPTS})


class ListOptsTest(unittest.TestCase):
    """The entry point of oslo-config-generator."""

    def test_sections(self):
        sections = dict(opts.list_opts())
        self.assertEqual(configuration.SHARED_CONF_GROUP,
                         backend_opts.SHARED_SECTION)
        self.assertLessEqual(
            {configuration.SHARED_CONF_GROUP, 'mydriver_privsep_target',
             'mydriver_privsep_initiator'}, set(sections))
        privsep = {o.name: o.default
                   for o in sections['mydriver_privsep_target']}
        self.assertIn('helper_command', privsep)
        self.assertEqual([*privileged.TARGET_CAPABILITIES],
                         privsep['capabilities'])
        initiator = {o.name: o.default
                     for o in sections['mydriver_privsep_initiator']}
        self.assertLess({*initiator['capabilities']},
                        {*privsep['capabilities']})

    def test_each_service_has_a_namespace(self):
        cinder, nova = opts.list_cinder_opts(), opts.list_nova_opts()
        self.assertEqual([configuration.SHARED_CONF_GROUP,
                          'mydriver_privsep_target'], [s for s, _ in cinder])
        self.assertEqual(['mydriver_privsep_initiator'],
                         [s for s, _ in nova])
        self.assertEqual([s for s, _ in cinder + nova],
                         [s for s, _ in opts.list_opts()])

    def test_defaults_are_those_that_apply(self):
        """What the daemons get when nothing is configured."""
        for section, options in opts.list_opts():
            for opt in options:
                if section.startswith('mydriver_privsep'):
                    with self.subTest(f'[{section}] {opt.name}'):
                        self.assertEqual(cfg.CONF[section][opt.name],
                                         opt.default)
                        self.assertIsNone(opt.sample_default)

    def test_they_are_registered(self):
        project = tomllib.loads((ROOT / 'pyproject.toml').read_text())
        found = {
            name: metadata.EntryPoint(name, value, 'oslo.config.opts').load()
            for name, value in project['project']['entry-points'][
                'oslo.config.opts'].items()}
        self.assertEqual(
            {'mydriver': opts.list_opts,
             'mydriver.cinder': opts.list_cinder_opts,
             'mydriver.nova': opts.list_nova_opts}, found)

    def test_they_load_where_neither_cinder_nor_nova_is(self):
        script = """
            import sys
            for name in ('cinder', 'nova'):
                sys.modules[name] = None  # import fails
            from mydriver import opts
            print(len(opts.list_opts()))
        """
        done = subprocess.run(
            [sys.executable, '-W', 'ignore', '-c', textwrap.dedent(script)],
            capture_output=True, text=True, check=False, cwd=ROOT)
        self.assertEqual('', done.stderr)
        self.assertGreaterEqual(int(done.stdout), 3)

    def test_the_generator_makes_a_sample_of_them(self):
        done = subprocess.run(
            [pathlib.Path(sys.executable).parent / 'oslo-config-generator',
             '--config-file', ROOT / 'etc/mydriver-config-generator.conf',
             '--output-file', '/dev/stdout'],
            capture_output=True, text=True, check=True, cwd=ROOT)
        for section, options in opts.list_opts():
            self.assertIn(f'[{section}]', done.stdout)
            for opt in options:
                if inspect.isfunction(getattr(opt.type, 'item_type', None)):
                    # oslo.privsep up to 3.10 (OpenStack 2026.1): the
                    # generator cannot show a value of such a type.
                    self.assertIn(f'sample for {opt.name}\n', done.stdout)
                else:
                    self.assertIn(f'\n#{opt.name} = ', done.stdout)

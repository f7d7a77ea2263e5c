# SPDX-License-Identifier: Apache-2.0
"""``.zuul.yaml``: what its jobs refer to is there."""

from pathlib import Path
import re
import unittest

import yaml

from lab.bootstrap import releases

ROOT = Path(__file__).resolve().parents[2]

#: Jobs of OpenStack's own repositories (openstack-zuul-jobs, tempest).
THEIRS = re.compile(r'devstack-tempest|build-openstack-releasenotes|'
                    r'openstack-tox-(pep8|docs|py3\d+)')


class ZuulTest(unittest.TestCase):
    """Jobs and the project's pipelines."""

    def setUp(self):
        super().setUp()
        items = yaml.safe_load((ROOT / '.zuul.yaml').read_text())
        self.assertEqual({'job', 'project'}, {k for i in items for k in i})
        self.jobs = {i['job']['name']: i['job'] for i in items if 'job' in i}
        self.project, = (i['project'] for i in items if 'project' in i)

    def settings(self, name):
        """Return a job's variables, with those that it inherits."""
        job = self.jobs.get(name, {})
        above = self.settings(job['parent']) if 'parent' in job else {}
        return above | job.get('vars', {})

    def test_parents(self):
        for name, job in self.jobs.items():
            with self.subTest(name):
                parent = job.get('parent')
                self.assertTrue(parent is None or parent in self.jobs
                                or THEIRS.fullmatch(parent))
                self.assertTrue(job['description'])

    def test_each_pipeline_runs_jobs_that_are_there(self):
        for pipeline in ('check', 'gate'):
            for name in self.project[pipeline]['jobs']:
                with self.subTest(name):
                    self.assertTrue(
                        THEIRS.fullmatch(name)
                        or not self.jobs[name].get('abstract', False))

    def test_each_job_is_run(self):
        runnable = {name for name, job in self.jobs.items()
                    if not job.get('abstract')}
        self.assertEqual(set(), runnable - set(
            self.project['check']['jobs']))

    def test_pythons(self):
        """The versions that the package names."""
        named = set(re.findall(
            r'Python :: 3\.(\d+)', (ROOT / 'pyproject.toml').read_text()))
        run = {name.removeprefix('openstack-tox-py3')
               for name in self.project['check']['jobs']
               if name.startswith('openstack-tox-py3')}
        self.assertEqual(named, run)

    def test_playbooks_and_make_targets(self):
        targets = set(re.findall(r'^([a-z-]+):', (
            ROOT / 'Makefile').read_text(), re.M))
        found = 0
        for name, job in self.jobs.items():
            if 'run' in job:
                self.assertTrue((ROOT / job['run']).is_file())
            if target := self.settings(name).get('make_target'):
                target, *variables = target.split()
                self.assertIn(target, targets)
                self.assertLessEqual(set(variables), {
                    f'RELEASE={r}' for r in releases.others()})
                found += 1
        self.assertGreater(found, 1)

    def test_settings_of_the_devstack_plugin(self):
        known = set(re.findall(r'^([A-Z_]+)=', (
            ROOT / 'devstack/settings').read_text(), re.M))
        stores = set()
        for name, job in self.jobs.items():
            if job['parent' if 'parent' in job else 'name'] \
                    != 'mydriver-devstack-tempest':
                continue
            variables = self.settings(name)
            self.assertEqual({'mydriver'}, {*variables['devstack_plugins']})
            self.assertLessEqual({*variables['devstack_localrc']}, known)
            stores.add(variables['devstack_localrc']['MYDRIVER_STORE'])
        self.assertEqual({'reflink', 'lvmthin'}, stores)

    def test_selection_of_tests(self):
        chosen = re.compile(self.settings(
            'mydriver-devstack-tempest')['tempest_test_regex'])
        for name in ('tempest.api.volume.test_volumes_get.VolumesGetTest',
                     'tempest.api.compute.volumes.test_attach_volume.X',
                     'tempest.scenario.test_volume_boot_pattern.X',
                     'cinder_tempest_plugin.api.volume.test_backups.X'):
            self.assertRegex(name, chosen)
        for name in ('tempest.api.identity.v3.test_users.X',
                     'tempest.scenario.test_network_basic_ops.X'):
            self.assertNotRegex(name, chosen)

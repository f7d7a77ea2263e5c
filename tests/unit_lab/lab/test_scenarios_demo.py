# SPDX-License-Identifier: Apache-2.0
"""The demo's page about its first attach, from logs of such a run."""

import contextlib
import io
from pathlib import Path
import shutil
import tempfile
import types
import unittest
from unittest import mock

from lab.scenario import report
from lab.scenarios.demo import story
from tests.unit import trace

LOGS = Path(trace.__file__).parent / 'logs'
SERVER = 'cb4f28fb-1fd0-4d80-9bab-485af045638f'


class StoryTest(unittest.TestCase):
    """The step runs in any case, and does not stop the others."""

    def setUp(self):
        super().setUp()
        self.folder = Path(self.enterContext(tempfile.TemporaryDirectory()))
        shutil.copytree(LOGS / 'attach', self.folder / 'logs')
        self.enterContext(mock.patch.object(
            story, 'PAGE', self.folder / 'x.html'))
        self.enterContext(contextlib.redirect_stdout(io.StringIO()))

    def story(self, logs):
        """Return the story of a cloud with some logs."""
        made = story.Story.__new__(story.Story)
        made._cloud = types.SimpleNamespace(logs=lambda: logs)
        made._machines = {'A': story.Machine(SERVER, None)}
        made._attaching = {'A'}
        return made

    def outcome(self, made):
        """Run the step as the runner does; return its status and proof."""
        told = report.Report()
        name, act = made.last_steps()[0]
        self.assertEqual('Trace the first attach', name)
        told.run(name, act)
        return told.steps[0].status, told.steps[0].proof

    def test_passed(self):
        status, proof = self.outcome(self.story(
            sorted((self.folder / 'logs').glob('*'))))
        self.assertEqual('passed', status, proof)
        self.assertTrue((self.folder / 'x.html').exists())

    def test_failed(self):
        status, proof = self.outcome(self.story([self.folder / 'none.log']))
        self.assertEqual('failed', status)
        self.assertIn('there is no log in', proof)

    def test_nothing_was_attached(self):
        made = self.story([])
        made._attaching = set()
        self.assertEqual(('passed', 'nothing was attached'),
                         self.outcome(made))

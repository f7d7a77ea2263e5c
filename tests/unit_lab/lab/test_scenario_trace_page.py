# SPDX-License-Identifier: Apache-2.0
"""Pages about one attach, from logs of such runs."""

from pathlib import Path
import tempfile
import unittest

from lab.scenario import trace_page
from lab.scenario.expect import NotProven
from mydriver import exception
from tests.unit import trace

LOGS = Path(trace.__file__).parent / 'logs'
SERVER = 'cb4f28fb-1fd0-4d80-9bab-485af045638f'
ATTACH = sorted((LOGS / 'attach').glob('*.log'))


class PageTest(unittest.TestCase):
    """The page is written, or the step fails and says why."""

    def setUp(self):
        super().setUp()
        self.folder = Path(self.enterContext(tempfile.TemporaryDirectory()))
        self.page = self.folder / 'x.html'

    def test_a_good_attach(self):
        said = trace_page.write(ATTACH, SERVER, self.page)
        self.assertTrue(said.startswith(
            f'{self.page}: 16.33 s, most of it nova-compute: start of daemon '
            'mydriver.privileged.initiator_context 4.27 s, '), said)
        self.assertIn('<svg', self.page.read_text())

    def test_an_attach_without_an_end(self):
        log = self.folder / 'nova-api.log'
        log.write_text((LOGS / 'attach' / 'nova-api.log').read_text())
        with self.assertRaisesRegex(NotProven, 'last step: nova-api'):
            trace_page.write([log], SERVER, self.page)

    def test_logs_without_the_attach(self):
        log = self.folder / 'nova-compute.log'
        log.write_text('nothing\n')
        with self.assertRaisesRegex(exception.ConfigurationError,
                                    'no line of the logs belongs'):
            trace_page.write([log], SERVER, self.page)
        self.assertFalse(self.page.exists())

    def test_a_page_that_cannot_be_written(self):
        with self.assertRaisesRegex(exception.ConfigurationError,
                                    'cannot be written'):
            trace_page.write(ATTACH, SERVER,
                             self.folder / 'none' / 'x.html')


class FailedTest(unittest.TestCase):
    """A failed attach has to name the expected cause."""

    LOG = LOGS / 'unreachable' / 'nova-compute.log'
    REQUEST = 'req-5b0d6c1e-93f5-4a27-9f6b-1c5f0f2d7e10'

    def setUp(self):
        super().setUp()
        self.page = Path(self.enterContext(
            tempfile.TemporaryDirectory())) / 'x.html'

    def failed(self, source, *words):
        """Write the page of the failed attach."""
        return trace_page.write_failed(
            [self.LOG], self.REQUEST, self.page, source, *words)

    def test_the_cause(self):
        said = self.failed('nova-compute', 'Connection refused')
        self.assertIn('First cause: nova-compute, in connect_volume: login',
                      said)
        self.assertIn('<svg', self.page.read_text())

    def test_another_cause(self):
        for wanted in (('cinder-volume', 'Connection refused'),
                       ('nova-compute', 'No route to host')):
            with (self.subTest(wanted),
                  self.assertRaisesRegex(NotProven, 'cause is not in')):
                self.failed(*wanted)

    def test_an_attach_that_succeeded(self):
        with self.assertRaisesRegex(NotProven, 'no failure is seen'):
            trace_page.write_failed(ATTACH, SERVER, self.page, 'nova-compute')

    def test_a_failure_where_success_is_expected(self):
        with self.assertRaisesRegex(NotProven, 'First cause: nova-compute'):
            trace_page.write([self.LOG], self.REQUEST, self.page)

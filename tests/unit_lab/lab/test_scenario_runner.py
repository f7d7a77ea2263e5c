# SPDX-License-Identifier: Apache-2.0
"""Which cloud a scenario runs on, and which of its steps run."""

import contextlib
import io
import unittest
from unittest import mock

from lab.cloud import settings
from lab.scenario import report, runner


class Scenario:
    """Two steps and a last one.

    :param fails: let the first step fail.
    """

    def __init__(self, fails: bool) -> None:
        self.ran: list[str] = []
        self._fails = fails

    def _step(self, name: str) -> str:
        self.ran.append(name)
        if self._fails and name == 'one':
            raise ValueError(name)
        return name

    def steps(self):
        """Return the steps."""
        return [(n, lambda n=n: self._step(n)) for n in ('one', 'two')]

    def last_steps(self):
        """Return the last step."""
        return [('last', lambda: self._step('last'))]


class FitsTest(unittest.TestCase):
    """A running cloud is used only if it has what was asked for."""

    def test_fits(self) -> None:
        runner.check_fits({'store': 'reflink'}, settings.Options())
        runner.check_fits({}, settings.Options(store='lvmthin'))

    def test_differs(self) -> None:
        with self.assertRaisesRegex(runner.WrongCloud,
                                    'store lvmthin, not reflink.*cloud down'):
            runner.check_fits({'store': 'reflink'},
                              settings.Options(store='lvmthin'))


class PlayTest(unittest.TestCase):
    """The steps, without a cloud."""

    def play(self, fails: bool, was_up: bool = False,
             keep: bool = False) -> tuple[Scenario, report.Report, mock.Mock]:
        scenario = Scenario(fails)
        with mock.patch.multiple(
                runner, api=mock.DEFAULT, image=mock.DEFAULT) as mocks, \
                mock.patch.object(runner.cloud_up, 'is_up',
                                  return_value=was_up), \
                mock.patch.object(settings.Layout, 'read_status',
                                  return_value={}), \
                contextlib.redirect_stdout(io.StringIO()):
            mocks['image'].image_id.return_value = 'id'
            told = runner.play({'store': None}, keep,
                               lambda _cloud, _told: scenario)
        return scenario, told, mocks['api'].down

    def test_all_steps(self) -> None:
        scenario, told, down = self.play(fails=False)
        self.assertEqual(['one', 'two', 'last'], scenario.ran)
        self.assertEqual('6 passed, 0 failed', told.summary())
        down.assert_called_once()

    def test_the_last_steps_run_after_a_failure(self) -> None:
        scenario, told, down = self.play(fails=True)
        self.assertEqual(['one', 'last'], scenario.ran)
        self.assertEqual('4 passed, 2 failed', told.summary())
        down.assert_called_once()

    def test_a_cloud_that_was_up_stays(self) -> None:
        for kwargs in ({'was_up': True}, {'keep': True}):
            _scenario, told, down = self.play(fails=False, **kwargs)
            self.assertEqual('5 passed, 0 failed', told.summary())
            down.assert_not_called()

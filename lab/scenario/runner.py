# SPDX-License-Identifier: Apache-2.0
"""Bring the cloud up, run a scenario's steps, end the cloud."""

from collections.abc import Callable, Mapping
import dataclasses
from pathlib import Path
import time
from typing import Any, Protocol

from lab import errors
from lab.cloud import api, settings
from lab.cloud import up as cloud_up
from lab.guest import image
from lab.scenario import report

#: A step: its name, and what does it and returns the proof.
Step = tuple[str, Callable[[], str]]


class WrongCloud(errors.LabError):
    """The cloud that is up is not the one that was asked for."""


class Scenario(Protocol):
    """What is run on the cloud."""

    def steps(self) -> list[Step]:
        """Return the steps; each needs those before it."""

    def last_steps(self) -> list[Step]:
        """Return the steps that run in any case."""


#: Makes a scenario for a cloud; the report takes its timings.
Maker = Callable[[api.Cloud, report.Report], Scenario]


class Lease:
    """The cloud during a run.

    A cloud that is already up is used, and is left up.

    :param asked: options of the cloud that the run depends on.
    :param keep: leave the cloud up.
    """

    def __init__(self, asked: Mapping[str, Any], keep: bool) -> None:
        self._asked = asked
        self._options = dataclasses.replace(settings.Options(), **asked)
        self._was_up = cloud_up.is_up(settings.Layout())
        #: Whether :meth:`release` has to be called.
        self.ends = not (keep or self._was_up)

    def take(self) -> str:
        """Bring the cloud up, or check that the one that is up fits.

        :returns: a line for people.
        :raises WrongCloud: when it does not fit.
        """
        if self._was_up:
            check_fits(self._asked, api.Cloud().options)
        api.up(self._options)
        return ('it was up already' if self._was_up
                else self._options.compute_driver)

    def release(self) -> str:
        """End the cloud."""
        api.down()
        left = settings.Layout().read_status()
        if left:
            raise errors.LabError(f'the cloud is still there: {left}')
        return ''


def check_fits(asked: Mapping[str, Any], found: settings.Options) -> None:
    """Check a running cloud's options.

    :param asked: options that it must have.
    :param found: those that it was brought up with.
    :raises WrongCloud: when one differs.
    """
    for name, value in asked.items():
        if getattr(found, name) != value:
            raise WrongCloud(
                f'the cloud that is up has {name} {getattr(found, name)}, '
                f'not {value}: run "python -m lab cloud down" first')


def play(asked: Mapping[str, Any], keep: bool, make: Maker) -> report.Report:
    """Run a whole scenario.

    :param asked: options of the cloud; None leaves the default.
    :param keep: leave the cloud up.
    :param make: makes the scenario once the cloud is up.
    :returns: the outcome of each step.
    """
    lease = Lease({k: v for k, v in asked.items() if v is not None}, keep)
    logs = settings.Layout().logs
    told = report.Report(lambda: sorted(logs.glob('*.log')))
    try:
        told.run_all([
            ('Guest image', lambda: image.image_id(image.build())),
            ('Cloud is up', lease.take)])
        if not told.failed:
            _run(told, make(api.Cloud(), told))
    finally:
        if lease.ends:
            told.run('Cloud is down', lease.release)
    return told


def _run(told: report.Report, scenario: Scenario) -> None:
    """Run the steps until one fails, then the last ones in any case."""
    told.run_all(scenario.steps())
    for name, act in scenario.last_steps():
        told.run(name, act)


def command(title: str, result: Path, asked: Mapping[str, Any], keep: bool,
            make: Maker) -> int:
    """Run a scenario for a command: print and write the result.

    :param title: for the line with the duration.
    :param result: file of JSON.
    :returns: exit status.
    """
    start = time.monotonic()
    told = play(asked, keep, make)
    told.write(result)
    if told.timings:
        print(f'\n{told.table()}')
    print(f'\n{title}: {time.monotonic() - start:.0f} s; {result}')
    print(told.summary())
    return int(told.failed)

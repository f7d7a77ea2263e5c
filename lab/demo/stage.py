# SPDX-License-Identifier: Apache-2.0
"""Around the story: the cloud comes up before it and goes after it."""

from collections.abc import Callable
import dataclasses
from typing import Any, Protocol

from lab import errors
from lab.cloud import api, settings
from lab.cloud import up as cloud_up
from lab.demo.story import Story
from lab.guest import image
from lab.scenario import report


class WrongCloud(errors.LabError):
    """The cloud that is up is not the one that was asked for."""


class Tale(Protocol):
    """What is played on the cloud."""

    def steps(self) -> list[tuple[str, Callable[[], str]]]:
        """Return the steps; each needs those before it."""

    def last_steps(self) -> list[tuple[str, Callable[[], str]]]:
        """Return the steps that come in any case."""


def play(asked: dict[str, Any], keep: bool,
         make: Callable[[api.Cloud, report.Report], Tale] = Story
         ) -> report.Report:
    """Run the whole of a tale, the demo's by default.

    :param asked: fields of the cloud's options, None for the default.
    :param keep: leave the cloud up; one that was up stays anyway.
    :param make: makes the tale.
    :returns: what became of each step.
    """
    wanted = {k: v for k, v in asked.items() if v is not None}
    options = dataclasses.replace(settings.Options(), **wanted)
    layout = settings.Layout()
    was_up = cloud_up.is_up(layout)
    told = report.Report(lambda: sorted(layout.logs.glob('*.log')))
    try:
        told.run_all([
            ('Guest image', lambda: image.image_id(image.build())),
            ('Cloud is up', lambda: _up(options, was_up, wanted))])
        if not told.failed:
            _tell(told, make(api.Cloud(), told))
    finally:
        if not (keep or was_up):
            told.run('Cloud is down', _down)
    return told


def _up(options: settings.Options, was_up: bool,
        wanted: dict[str, Any]) -> str:
    """Bring the cloud up, or see that the one that is up fits."""
    if was_up:
        found = api.Cloud().options
        for name, value in wanted.items():
            if getattr(found, name) != value:
                raise WrongCloud(
                    f'the cloud that is up has {name} '
                    f'{getattr(found, name)}, not {value}: run "python -m '
                    'lab cloud down" first')
    api.up(options)
    return 'it was up already' if was_up else f'{options.compute_driver}'


def _tell(told: report.Report, tale: Tale) -> None:
    """Play the steps until one fails, then the last ones in any case."""
    told.run_all(tale.steps())
    for name, act in tale.last_steps():
        told.run(name, act)


def _down() -> str:
    api.down()
    left = settings.Layout().read_status()
    if left:
        raise errors.LabError(f'the cloud is still there: {left}')
    return ''

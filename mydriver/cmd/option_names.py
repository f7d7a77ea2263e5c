# SPDX-License-Identifier: Apache-2.0
"""Options of ours in the configuration that have no effect.

oslo.config ignores a name that nobody declares, so a typing error, or an
option that this release no longer has, is not noticed anywhere.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
import dataclasses
import difflib

from oslo_config import cfg
from oslo_privsep import priv_context

from mydriver import configuration, privileged
from mydriver.backend import opts as backend_opts
from mydriver.cmd import tables

#: What the names of our options and sections begin with.
PREFIX = 'mydriver_'


@dataclasses.dataclass(frozen=True, slots=True)
class Concern:
    """An option that has no effect.

    :param section: where it is, as the file has it.
    :param name: its name there, with underscores; empty for the whole section.
    :param problem: the end of a sentence about it.
    :param right: the name that it should have, if that is known.
    :param is_unknown: its section has an effect, but has no such option. An
        option in another section may be that of a backend which is disabled
        for a while, or whose driver is misspelt.
    """

    section: str
    name: str
    problem: str
    right: str | None = None
    is_unknown: bool = False

    def __str__(self) -> str:
        """Return a sentence that a terminal may show."""
        return ' '.join([f'[{tables.shown(self.section)}]', *filter(None, [
            tables.shown(self.name)]), self.problem])


def concerns(files: Sequence[str], directories: Sequence[str],
             backends: Sequence[str]) -> list[Concern]:
    """Return each option that has no effect.

    :param files: configuration files.
    :param directories: directories with more ``*.conf`` files.
    :param backends: the sections of this driver's backends.
    :raises ConfigurationError: when a file cannot be read.
    """
    known = {section: dict(_names(options)) for sections, options in (
        ((backend_opts.SHARED_SECTION, *backends), backend_opts.VOLUME_OPTS),
        ((privileged.target_context.cfg_section,
          privileged.initiator_context.cfg_section), priv_context.OPTS),
    ) for section in sections}
    return [concern for section, names in configuration.parse(
                configuration.files_of(files, directories)).items()
            for name in names
            for concern in _judge(section, name.replace('-', '_'), known)]


def _names(options: Sequence[cfg.Opt]) -> Iterator[tuple[str, str]]:
    """Yield each name of options: its own, and those that it had earlier."""
    for opt in options:
        yield opt.dest, opt.dest
        for earlier in opt.deprecated_opts:
            if earlier.name:
                yield earlier.name.replace('-', '_'), opt.dest


def _judge(section: str, name: str, known: Mapping[str, Mapping[str, str]]
           ) -> Iterator[Concern]:
    if section not in known:
        if name.startswith(PREFIX):
            yield Concern(section, name, (
                'has no effect: such options belong to the section of a '
                f'backend, or to [{backend_opts.SHARED_SECTION}].'
                if section == 'DEFAULT' else 'has no effect as long as the '
                'section is no enabled mydriver backend.'))
        elif section.startswith(PREFIX):
            yield Concern(section, '',
                          'has no effect: there is no such section.')
    elif name in known[section]:
        if (now := known[section][name]) != name:
            yield Concern(section, name,
                          f'was renamed to {now}. Rename it.', now, True)
    elif name.startswith(PREFIX) or section.startswith(PREFIX):
        close = difflib.get_close_matches(
            name.removeprefix(PREFIX),
            [n.removeprefix(PREFIX) for n in known[section]], 1)
        right = _full(close[0], known[section]) if close else None
        yield Concern(section, name, (
            'has no effect: this release has no such option.'
            + (f' Did you mean {right}?' if right else '')), right, True)


def _full(end: str, names: Iterable[str]) -> str:
    """Return the name that has a given end behind our prefix, or alone."""
    return next(n for n in names if n.removeprefix(PREFIX) == end)

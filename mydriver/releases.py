# SPDX-License-Identifier: Apache-2.0
"""Releases: this package's own, and those of OpenStack that it supports.

The number of this package's release comes from a git tag, through pbr, into
the installed metadata. All that shows a number reads it there.
"""

from collections.abc import Mapping
import dataclasses
import importlib.metadata
import re
import sys

from oslo_log import log as logging

from mydriver import exception

LOG = logging.getLogger(__name__)

#: What :func:`own` returns where the package is not installed.
UNKNOWN = 'unknown'


@dataclasses.dataclass(frozen=True, slots=True)
class Release:
    """A release of OpenStack that was tested.

    :param name: as ``2026.2``.
    :param majors: the major version of each project.
    """

    name: str
    majors: Mapping[str, int]


#: The tested releases, the oldest one first.
SUPPORTED = (
    Release('2026.1', {'cinder': 28, 'nova': 33}),
    Release('2026.2', {'cinder': 29, 'nova': 34}),
)

#: The versions of Python that the unit tests are run with, the oldest one
#: first; the lab has that one (``make test``, ``make test-python``). pip
#: refuses an older one by ``requires-python``.
PYTHONS = ((3, 11), (3, 12), (3, 13))


def version_of(project: str) -> str | None:
    """Return the version of an installed project, None without one."""
    try:
        return importlib.metadata.version(project)
    except importlib.metadata.PackageNotFoundError:
        return None


def own() -> str:
    """Return the version of this package."""
    return version_of('mydriver') or UNKNOWN


def supported(project: str) -> str:
    """Return the supported releases of a project, as text.

    :param project: ``cinder`` or ``nova``.
    """
    return ', '.join(f'{r.majors[project]} (OpenStack {r.name})'
                     for r in SUPPORTED)


def concerns(project: str, found: str | None,
             python: tuple[int, int] | None = None) -> list[str]:
    """Tell what about a project and Python was not tested.

    A release newer than all that were tested may well work, so it is only
    worth a warning. An older one, or one that was left out, lacks what the
    driver calls, or was found broken.

    :param project: ``cinder`` or ``nova``.
    :param found: its version; None if it is unknown.
    :param python: version of Python; default: this interpreter's.
    :returns: warnings, as sentences.
    :raises UnsupportedRelease: when the release is refused.
    """
    warnings = []
    match = re.match(r'\d+', found or '')
    if match:
        majors = [release.majors[project] for release in SUPPORTED]
        major = int(match[0])
        if major > max(majors):
            warnings.append(
                f'{project} {found} is newer than all releases that this '
                f'release of mydriver was tested with: {supported(project)}.')
        elif major not in majors:
            raise exception.UnsupportedRelease(
                project, str(found), own(), supported(project))
    if (python or sys.version_info[:2]) > PYTHONS[-1]:
        warnings.append(
            f'Python {".".join(map(str, python or sys.version_info[:2]))} is '
            'newer than all versions that mydriver was tested with: '
            f'{", ".join(f"{a}.{b}" for a, b in PYTHONS)}.')
    return warnings


def check(project: str) -> None:
    """Refuse an unsupported release of a project; warn of an untested one.

    Nothing happens without the project: importing it says so.

    :param project: ``cinder`` or ``nova``.
    :raises UnsupportedRelease: names the releases that are supported.
    """
    found = version_of(project)
    if found is not None:
        for warning in concerns(project, found):
            LOG.warning('%s', warning)

# SPDX-License-Identifier: Apache-2.0
"""The arguments that all commands share."""

import argparse
from collections.abc import Iterator
import contextlib
import os

from mydriver import exception
from mydriver.cmd import backends, identity


def add(parser: argparse.ArgumentParser) -> None:
    """Declare them."""
    parser.add_argument(
        '--config-file', action='append', default=[], metavar='FILE',
        type=os.path.abspath,  # the privileged daemon works in another folder
        help='configuration of cinder-volume; may be given several times; '
        'without it, /etc/cinder/cinder.conf and where else cinder-volume '
        'looks')
    parser.add_argument(
        '--config-dir', action='append', default=[], metavar='DIR',
        help='folder with further *.conf files, read after the others; may be '
        'given several times')
    parser.add_argument(
        'backend', nargs='*', metavar='BACKEND',
        help="name of a backend's section; all of ours by default")


def backends_of(parsed: argparse.Namespace, *, verbs: bool = False
                ) -> list[backends.Backend]:
    """Return the backends meant, as the user who owns their state.

    :param verbs: privileged verbs will be called.
    :raises ConfigurationError: when they cannot be found.
    """
    found = backends.read(parsed.config_file, parsed.backend,
                          parsed.config_dir)
    identity.assume(_state_paths(found), verbs=verbs)
    return found


def _state_paths(found: list[backends.Backend]) -> Iterator[str]:
    """Give those that are set as they should be."""
    for backend in found:
        with contextlib.suppress(exception.ConfigurationError):
            yield backend.state_path

# SPDX-License-Identifier: Apache-2.0
"""The arguments that all commands share."""

import argparse
from collections.abc import Iterator
import contextlib
import os

from mydriver import exception
from mydriver.cmd import backends, identity


def add(parser: argparse.ArgumentParser) -> None:
    """Add the shared arguments to a command's parser."""
    parser.add_argument(
        '--config-file', action='append', default=[], metavar='FILE',
        type=os.path.abspath,  # the daemon has another working directory
        help='configuration file of cinder-volume; can be repeated; default: '
        '/etc/cinder/cinder.conf and the other places where cinder-volume '
        'looks')
    parser.add_argument(
        '--config-dir', action='append', default=[], metavar='DIR',
        help='directory with more *.conf files, read after the files above; '
        'can be repeated')
    parser.add_argument(
        'backend', nargs='*', metavar='BACKEND',
        help='section name of a backend; default: all mydriver backends in '
        'enabled_backends')


def open_backends(parsed: argparse.Namespace, *, verbs: bool = False
                  ) -> list[backends.Backend]:
    """Read the selected backends and become the owner of their state.

    :param parsed: the command's arguments.
    :param verbs: privileged verbs will be called.
    :raises ConfigurationError: when there is no such backend.
    """
    found = backends.read(parsed.config_file, parsed.backend,
                          parsed.config_dir)
    identity.become_owner(_state_paths(found), verbs=verbs)
    return found


def _state_paths(found: list[backends.Backend]) -> Iterator[str]:
    """Yield the state directories, without those that are set wrongly."""
    for backend in found:
        with contextlib.suppress(exception.ConfigurationError):
            yield backend.state_path

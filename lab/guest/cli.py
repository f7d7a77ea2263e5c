# SPDX-License-Identifier: Apache-2.0
"""``python -m lab guest``."""

import argparse

from lab.arguments import Subparsers
from lab.guest import image


def register(subparsers: Subparsers) -> None:
    """Add the commands to ``python -m lab``."""
    guest = subparsers.add_parser('guest', help='make the guest image')
    commands = guest.add_subparsers(required=True, metavar='COMMAND')
    build = commands.add_parser(
        'build', help='make it, unless it is up to date')
    build.set_defaults(func=_build)


def _build(_args: argparse.Namespace) -> int:
    made = image.build()
    print(made, image.image_id(made))
    return 0

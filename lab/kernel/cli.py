# SPDX-License-Identifier: Apache-2.0
"""``python -m lab kernel``."""

import argparse
import re

from lab.arguments import Subparsers
from lab.kernel import run as kernel_run

_UNITS = {'': 1, 'K': 1 << 10, 'M': 1 << 20, 'G': 1 << 30, 'T': 1 << 40}


def size_bytes(text: str) -> int:
    """Parse a size such as ``512M`` or ``4G`` (powers of 1024).

    :raises argparse.ArgumentTypeError: when it is not a size.
    """
    match = re.fullmatch(r'(\d+)([KMGT]?)i?B?', text, re.IGNORECASE)
    if not match or not int(match[1]):
        raise argparse.ArgumentTypeError(f'{text!r} is not a size such as 4G')
    return int(match[1]) * _UNITS[match[2].upper()]


def _variable(text: str) -> tuple[str, str]:
    name, sep, value = text.partition('=')
    if not sep or not name.isidentifier():
        raise argparse.ArgumentTypeError(f'{text!r} is not NAME=VALUE')
    return name, value


def register(subparsers: Subparsers) -> None:
    """Add the commands to ``python -m lab``."""
    kernel = subparsers.add_parser(
        'kernel', help='run a command under a kernel of its own')
    commands = kernel.add_subparsers(required=True, metavar='COMMAND')
    run = commands.add_parser(
        'run', help='boot a fresh kernel node, run a command in it, power off',
        description='Boots a kernel node with LIO, open-iscsi, device-mapper, '
        'XFS and udev, runs CMD in it as root with the repository and the '
        'virtual environment at their paths, and powers off. What it writes '
        'is discarded. Exit status: that of the command, 124 on timeout.')
    run.add_argument('--memory', type=int, default=2048, metavar='MIB',
                     help='memory of the node (default: %(default)s)')
    run.add_argument('--cpu', type=int, metavar='N',
                     help='core of this machine (default: the one with the '
                     'fewest nodes)')
    run.add_argument('--disk', type=size_bytes, action='append', default=[],
                     metavar='SIZE', help='an empty disk, such as 4G: '
                     '/dev/ubda, the next one /dev/ubdb, ...')
    run.add_argument('--ceph', action='store_true', help='start a Ceph for '
                     'this command, with pools volumes and images; CEPH_CONF '
                     'is the ceph.conf, and there are keyrings of '
                     'client.admin and client.cinder')
    run.add_argument('--env', type=_variable, action='append', default=[],
                     metavar='NAME=VALUE', help='for the command')
    run.add_argument('--timeout', type=int, default=900, metavar='S',
                     help='seconds after which the node is stopped (default: '
                     '%(default)s)')
    run.add_argument('argv', nargs='+', metavar='CMD')
    run.set_defaults(func=_run)


def _run(args: argparse.Namespace) -> int:
    return kernel_run.run(kernel_run.Request(
        argv=args.argv, memory_mib=args.memory, cpu=args.cpu,
        disks=tuple(args.disk), timeout_s=args.timeout,
        environ=dict(args.env), ceph=args.ceph))

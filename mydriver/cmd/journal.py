# SPDX-License-Identifier: Apache-2.0
"""``mydriver journal downgrade``: before an earlier release is used again."""

import argparse

from cliff import command
from oslo_log import log as logging

from mydriver import exception
from mydriver.cmd import arguments, backends
from mydriver.target.journal import earlier

LOG = logging.getLogger(__name__)


class Downgrade(command.Command):
    """Bring journals back to the version of an earlier release.

    Run this with the release that wrote them, while cinder-volume is stopped,
    and then install the earlier release. Exports and mappings are kept, and
    nothing in the kernel is touched. If a journal cannot be converted, it is
    left as it is, the others still are converted, and the exit status is 1.
    """

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """Return the argument parser."""
        parser: argparse.ArgumentParser = super().get_parser(prog_name)
        parser.add_argument(
            '--to', type=int, choices=earlier.VERSIONS, required=True,
            metavar='VERSION', help='version of the journal that the earlier '
            'release writes; the documentation lists them by release')
        arguments.add(parser)
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> int:
        """Convert the journals; return the exit status."""
        done = [self._downgrade(backend, parsed_args.to) for backend
                in arguments.open_backends(parsed_args)]
        return int(not all(done))

    def _downgrade(self, backend: backends.Backend, to: int) -> bool:
        """Convert a journal; return whether an earlier release can use it."""
        try:
            if backend.has_gateways:
                LOG.error('Backend %s: its journal is in Ceph and has no '
                          'earlier version.', backend.name)
                return False
            if not backend.has_journal():
                LOG.info('Backend %s has no journal yet at %s', backend.name,
                         backend.journal_path)
                return True
            found = earlier.downgrade(backend.journal_path, to)
        except exception.MyDriverError as e:
            LOG.error('Backend %s: %s', backend.name, e)
            return False
        self.app.stdout.write(
            f'{backend.name}: {backend.journal_path} had version {found} and '
            f'has version {to}\n')
        return True

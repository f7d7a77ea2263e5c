# SPDX-License-Identifier: Apache-2.0
"""``mydriver restore``: rebuild the exports from the journal."""

import argparse

from cliff import command
from oslo_log import log as logging

from mydriver import exception
from mydriver.backend import devices, settings
from mydriver.cmd import arguments, backends, health
from mydriver.stores import base
from mydriver.target import exports as service
from mydriver.target import factory

LOG = logging.getLogger(__name__)


class Restore(command.Command):
    """Restore all exports and mappings from the journal.

    Run this at boot, before any OpenStack service starts, so that compute
    hosts get their disks back immediately. Exports that are already correct
    are left alone. If something cannot be restored, the rest still is, and
    the exit status is 1.
    """

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """Return the argument parser."""
        parser: argparse.ArgumentParser = super().get_parser(prog_name)
        arguments.add(parser)
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> int:
        """Restore the backends; return the exit status."""
        found = arguments.open_backends(parsed_args, verbs=True)
        restored = [self._restore(b) for b in found]
        return int(not all(restored))

    def _restore(self, backend: backends.Backend) -> bool:
        """Restore a backend; return whether all of it was restored."""
        try:
            if backend.has_gateways:
                LOG.info('Backend %s is served by gateways: there is nothing '
                         'to restore. Start mydriver gateway on their hosts.',
                         backend.name)
                return True
            if not backend.has_journal():
                LOG.info('Backend %s has no journal yet at %s', backend.name,
                         backend.journal_path)
                return True
            exports = self._service(backend, self._bring_up(backend))
            try:
                exports.check()
            except exception.NoAddress as e:
                # The kernel listens as soon as the address appears.
                LOG.warning('Backend %s: %s', backend.name, e)
            exports.reconciler.start()
        except exception.MyDriverError as e:
            LOG.error('Backend %s: %s', backend.name, e)
            return False
        except Exception:  # it must not stop the other backends
            LOG.exception('Backend %s cannot be restored', backend.name)
            return False
        wrong = [f for f in health.check_exports(backend) if not f.ok]
        for finding in wrong:
            LOG.error('Backend %s: %s: %s', backend.name, finding.part,
                      finding.detail)
        return not wrong

    def _bring_up(self, backend: backends.Backend) -> base.VolumeStore:
        """Bring up the store; volumes that stay down are not exported.

        :raises ConfigurationError: when mydriver_store_path is not set.
        """
        store = settings.store_of(backend.section, backend.name)
        try:
            store.prepare()
        except exception.MyDriverError as e:
            LOG.error('Backend %s: %s', backend.name, e)
        except Exception:  # some of its volumes may be usable
            LOG.exception('Backend %s: its store cannot be brought up',
                          backend.name)
        return store

    def _service(self, backend: backends.Backend, store: base.VolumeStore
                 ) -> service.ExportService:
        return factory.build(backend.settings, devices.StoreDevices(store))

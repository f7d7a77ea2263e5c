# SPDX-License-Identifier: Apache-2.0
"""``mydriver restore``: the exports, from the journal."""

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
    """Rebuild all exports and mappings from the journal.

    Meant for the boot of a storage node, before anything else of OpenStack is
    up: compute hosts get their disks back at once. It disturbs nothing that
    is right already. The exit status is 1 when something could not be
    restored; the rest is restored all the same.
    """

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """Return the parser of the arguments."""
        parser: argparse.ArgumentParser = super().get_parser(prog_name)
        arguments.add(parser)
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> int:
        """Restore one backend after the other."""
        found = arguments.backends_of(parsed_args, verbs=True)
        restored = [self._is_restored(b) for b in found]
        return int(not all(restored))

    def _is_restored(self, backend: backends.Backend) -> bool:
        try:
            if not backend.has_journal():
                LOG.info('Backend %s has no journal yet at %s', backend.name,
                         backend.journal_path)
                return True
            exports = self._service(backend, self._bring_up(backend))
            try:
                exports.check()
            except exception.NoAddress as e:
                # The kernel listens there as soon as there is one.
                LOG.warning('Backend %s: %s', backend.name, e)
            exports.reconciler.start()
        except exception.MyDriverError as e:
            LOG.error('Backend %s: %s', backend.name, e)
            return False
        except Exception:  # it must not keep the others down
            LOG.exception('Backend %s cannot be restored', backend.name)
            return False
        wrong = [f for f in health.of_exports(backend) if not f.ok]
        for finding in wrong:
            LOG.error('Backend %s: %s: %s', backend.name, finding.part,
                      finding.detail)
        return not wrong

    def _bring_up(self, backend: backends.Backend) -> base.VolumeStore:
        """Bring up the store; what it leaves out, no export is made of.

        :raises ConfigurationError: when it is not said where it is.
        """
        store = settings.store_of(backend.section, backend.name)
        try:
            store.prepare()
        except exception.MyDriverError as e:
            LOG.error('Backend %s: %s', backend.name, e)
        except Exception:  # what the kernel needs of it may be there
            LOG.exception('Backend %s: its store cannot be brought up',
                          backend.name)
        return store

    def _service(self, backend: backends.Backend, store: base.VolumeStore
                 ) -> service.ExportService:
        return factory.build(backend.settings, devices.StoreDevices(store))

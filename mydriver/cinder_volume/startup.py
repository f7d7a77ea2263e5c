# SPDX-License-Identifier: Apache-2.0
"""Start-up of a backend: checks, recovery, comparison with Cinder."""

from collections.abc import Sequence
import contextlib
import os
import time

from cinder.volume import configuration
from oslo_config import cfg
from oslo_log import log as logging
from oslo_utils import importutils

from mydriver import exception
from mydriver.backend import opts, settings
from mydriver.cinder_volume import clustering, parts, users
from mydriver.stores import names
from mydriver.target import recorded as recordings

LOG = logging.getLogger(__name__)

#: How long another service may take to record that a volume is detached,
#: seconds, after it has unmapped the volume.
_DETACH_S = 15.0

#: States of volumes that have a backing.
_WITH_BACKING = frozenset({'available', 'in-use'})


class Startup:
    """Starts a backend; if that fails, exports in use are left alone."""

    def __init__(self, backend: parts.Backend) -> None:
        self._backend = backend
        self._records = backend.records
        self._store = backend.store
        self._exports = backend.exports

    def run(self) -> None:
        """Check that the host can serve, and bring the target up to date.

        :raises ConfigurationError: when it cannot.
        """
        self._refuse_shared_place()
        self._store.prepare()
        try:
            self._store.check()
        except exception.StoreError as e:
            # For instance a full pool: existing volumes can still be served.
            LOG.error('Backend %s accepts no new volumes: %s',
                      self._backend.name, e)
        self._check_first_start()
        for kept in self._store.recover():
            LOG.warning('Keeping %s', kept)
        self._exports.check()
        self._exports.reconciler.start()
        self.settle()

    def settle(self) -> None:
        """Compare the exports with the attachments that Cinder has."""
        # Cinder is not asked for the volumes of a host: its name may have
        # changed.
        stored = self._stored()
        known = self._users(stored)
        reconciler = self._exports.reconciler
        is_alone = not self._backend.cluster
        exclusively: recordings.Exclusively = (
            contextlib.nullcontext if is_alone else clustering.exclusively)
        reconciler.settle(known.may_use, exclusively=exclusively)
        recorded = known.recorded(self._backend.name)
        reconciler.remake(
            recorded if is_alone else self._lost(recorded, stored),
            exclusively)
        if known.are_known:
            reconciler.forget_keys(recorded)

    def _users(self, stored: set[str] | None) -> users.Users:
        return users.Users(
            self._records, {e.volume_id for e in self._exports.all()}.union(
                stored or ()), stored)

    def _lost(self, recorded: Sequence[recordings.Recorded],
              stored: set[str] | None) -> list[recordings.Recorded]:
        """Return the attachments whose mapping the journal has lost.

        Another service removes a mapping first and Cinder's record of it
        afterwards. So what is missing now counts only if Cinder still has it
        later.
        """
        missing = self._exports.reconciler.missing(recorded)
        if not missing:
            return []
        time.sleep(_DETACH_S)
        later = self._users(stored).recorded(self._backend.name)
        return [one for one in missing if one in later]

    def _stored(self) -> set[str] | None:
        """Return the ids of the volumes in the store, None if unknown."""
        try:
            found = self._store.names()
        except exception.MyDriverError as e:
            LOG.warning('The store cannot list its volumes: %s', e)
            return None
        ids = (names.volume_id(name) for name in found)
        return {its_id for its_id in ids if its_id is not None}

    def _refuse_shared_place(self) -> None:
        """Check that no other backend of this service has the same store.

        :raises ConfigurationError: names both.
        """
        # Not at the top: it needs Cinder's objects, which come later.
        manager = importutils.import_module('cinder.volume.manager')
        mine = self._backend.options
        mine.append_config_values(manager.volume_backend_opts)
        for name in cfg.CONF.enabled_backends or ():
            if name == self._backend.name:
                continue
            conf = configuration.Configuration(
                manager.volume_backend_opts, config_group=name)
            conf.append_config_values(opts.VOLUME_OPTS)
            try:
                if conf.safe_get('volume_driver') != mine.safe_get(
                        'volume_driver') or not conf.safe_get(
                        settings.place_option(conf)):
                    continue
                theirs = settings.store_of(conf, name).location
            except (exception.ConfigurationError, cfg.Error) as e:
                # That backend does not start; this one does.
                LOG.warning('Backend [%s] is misconfigured: %s', name, e)
                continue
            if os.path.realpath(theirs) == os.path.realpath(
                    self._store.location):
                raise exception.ConfigurationError(
                    settings.place_option(mine),
                    f'[{self._backend.name}] and [{name}] both keep their '
                    f'volumes in {theirs}',
                    'Give each backend a place of its own.')

    def _check_first_start(self) -> None:
        """Refuse an empty place as a new store while Cinder has volumes in it.

        After its first start, the store recognises its place by itself.

        :raises ConfigurationError: when Cinder has.
        """
        if self._store.is_known or self._store.names():
            return
        mine = self._backend
        there = [v.id for v in (
            self._records.of_cluster(mine.cluster) if mine.cluster
            else self._records.of_host(mine.host))
            if v.status in _WITH_BACKING]
        if there:
            raise exception.ConfigurationError(
                settings.place_option(self._backend.options),
                f'{self._store.location} is empty, but '
                f'Cinder has {len(there)} volumes on this backend, such as '
                f'{there[0]}', 'Check that its filesystem is mounted there, '
                'that its disks are present, or that it is the right cluster '
                'and pool. If the volumes are lost, '
                'reset their state to error and restart cinder-volume.')

# SPDX-License-Identifier: Apache-2.0
"""The journal in Ceph, for services of one backend on several hosts."""

import secrets

from oslo_log import log as logging

from mydriver import exception, model
from mydriver.ceph import cluster, notify, omap
from mydriver.target.journal.rados import (
    errors,
    keys,
    ownership,
    records,
    salvage,
    targets,
)

LOG = logging.getLogger(__name__)


class RadosJournal(ownership.Ownership):
    """A :class:`..shared.SharedJournal` of objects in Ceph.

    Two services may call it at the same time. Besides the errors of
    :class:`..base.Journal`, each method raises JournalUnusable when Ceph does
    not answer within the time limits of :mod:`mydriver.ceph.cluster`. What
    the call was to change may have been changed in spite of that, or may be
    yet, until somebody else changes the same target.
    """

    def set_aside(self, target: model.Iqn) -> str:
        """Replace the object of a target that is damaged, or was lost.

        The new one has no exports: only for callers that ask Cinder
        afterwards what it lacks. LUNs that the old one mentions are held
        back. Gateways go on serving what they serve.

        :returns: the name of the object with all that was in the damaged one.
        :raises JournalUnusable: when it is not a target of the backend, or
            another service is replacing it, too.
        """
        known, registry, _ = self._registry()
        name = keys.target_object(target)
        if target not in known:
            raise exception.JournalUnusable(
                self._store.path(name), 'it is not a target of the backend',
                'Only those in the registry are replaced.')
        everything = salvage.content(self._store, name)
        aside = f'mydriver.damaged.{target}.{secrets.token_hex(4)}'
        salvage.keep(self._store, aside, everything)
        header = salvage.header_of(everything, registry.id)
        put = salvage.replacement(everything, header, self._now())
        with errors.translated(self._store.path(name)):
            outcome = self._pool.write(
                name, put, everything.keys() - put.keys(),
                new=not everything, where={keys.HEADER: everything.get(
                    keys.HEADER, '')} if everything else None)
        if outcome is not omap.Outcome.DONE:
            raise exception.JournalUnusable(
                self._store.path(name), 'it changes while it is replaced',
                'Leave that to one service, and try again.')
        self._list({keys.target(target): records.Target(header.id).text(
            keys.target(target))})
        LOG.error('The journal of %s was damaged. All that was in it is in '
                  '%s. It is being rebuilt from what Cinder has on record; '
                  'what gateways serve stays in service.', target,
                  self._store.path(aside))
        return aside


def objects_of(connection: cluster.Cluster, backend: str
               ) -> omap.RadosObjects:
    """Return the objects of a backend: of its journal, and of its keys.

    :param backend: its name, the section of cinder.conf.
    :raises ConfigurationError: when Ceph cannot have such a name.
    """
    return omap.RadosObjects(connection, keys.namespace(backend))


def open_in(pool: omap.Objects, owner: str, run: targets.Run,
            notices: notify.Notices, *, create: bool) -> RadosJournal:
    """Open the journal of a backend.

    :param pool: the backend's objects.
    :param owner: whose backend it is: the same text for all services of one
        cluster.
    :param run: of this service.
    :param notices: of the same objects; closed with the journal.
    :param create: create it if there is none: for cinder-volume, not for
        gateways.
    :raises ConfigurationError: when it is another's.
    :raises JournalError: when it cannot be used.
    """
    journal = RadosJournal(pool, owner, run, notices)
    if create:
        journal.create()
    return journal

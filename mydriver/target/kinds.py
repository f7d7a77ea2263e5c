# SPDX-License-Identifier: Apache-2.0
"""How initiators log in to the targets.

A session logs in again after each network fault, in the way that its
initiator was told when it attached: the portals, CHAP or not, the secret. So
a NodeACL keeps all of this until its last mapping is removed, whatever the
settings are by then.
"""

from collections.abc import Callable, Collection
import dataclasses

from oslo_log import log as logging

from mydriver import exception, model
from mydriver.target import chap, kernel, pool
from mydriver.target.journal import base

LOG = logging.getLogger(__name__)


class Kinds:
    """The kinds of a backend's NodeACLs.

    :param settings: determine the kind of new NodeACLs.
    :param journal: records the kinds of existing ones.
    :param target: shows what the journal lacks.
    :param keys: from which secrets derive; None when there are none.
    """

    def __init__(self, settings: pool.Settings, journal: base.Journal,
                 target: kernel.KernelTarget, keys: chap.KeyRing | None
                 ) -> None:
        self._settings = settings
        self._journal = journal
        self._target = target
        self._keys = keys

    def of_new(self, target: model.Iqn) -> model.NodeKind:
        """Return the kind of a new NodeACL, except for mutual CHAP."""
        return of_settings(self._settings, self._keys, target)

    def found(self, target: model.Iqn, asks: bool) -> model.NodeKind:
        """Return what is known about a NodeACL that only the kernel has.

        :param asks: whether it asks for CHAP.
        """
        # No NodeACL can use a key that has just been created; if a key was
        # replaced, a NodeACL may use any of the keys.
        keys = self._keys
        known = asks and keys and keys.is_only and not keys.is_new
        return model.NodeKind(
            chap=asks, portals=_portals(self._settings, target),
            key=keys.current.fingerprint if known and keys else '')

    def secrets(self, mapped: model.MappedExport
                ) -> model.ChapCredentials | None:
        """Return the secrets of a mapping.

        :returns: None when there are none, or their key is unknown.
        """
        kind = mapped.kind
        if not kind.chap or self._keys is None:
            return None
        key = self._keys.get(kind.key)
        if key is None:
            return None
        return key.credentials(mapped.mapping.initiator,
                               mapped.export.target, kind.mutual)

    def required_secrets(self, mapped: model.MappedExport
                         ) -> model.ChapCredentials | None:
        """Return the secrets that an initiator needs to log in.

        :returns: None without CHAP.
        :raises KeyLost: when their key is missing.
        """
        secrets = self.secrets(mapped)
        if mapped.kind.chap and secrets is None:
            path = self._keys and self._keys.path(mapped.kind.key or '*')
            raise exception.KeyLost(
                str(mapped.mapping.initiator), str(mapped.export.target),
                path or chap.KEY_FILE)
        return secrets

    def source_of(self, told: model.ChapCredentials | None,
                  initiator: model.Iqn, target: model.Iqn) -> str:
        """Return the fingerprint of the key of credentials, or nothing."""
        if self._keys is None or told is None:
            return ''
        return self._keys.source_of(told, initiator, target)

    def learn(self) -> None:
        """Find out what a journal of version 1 does not record."""
        for node in self._journal.nodes():
            if node.kind.chap is not None:
                continue
            seen = self._target.observe(node.target)
            if node.kind.mutual:
                asks = True
            elif seen and str(node.initiator) in seen.acls:
                asks = str(node.initiator) in seen.authenticated
            else:
                asks = self._settings.chap
            portals = (self._target.listening(node.target)
                       | _portals(self._settings, node.target))
            self._journal.set_kind(dataclasses.replace(
                node, kind=dataclasses.replace(
                    self.found(node.target, asks), mutual=node.kind.mutual,
                    portals=portals)))

    def more_portals(self) -> dict[model.Iqn, list[model.Portal]]:
        """Return the portals that are only kept for existing sessions."""
        found: dict[model.Iqn, set[model.Portal]] = {}
        for node in self._journal.nodes():
            for text in node.kind.portals - _portals(self._settings,
                                                     node.target):
                found.setdefault(node.target, set()).add(
                    model.Portal.parse(text))
        return {t: sorted(portals) for t, portals in found.items()}

    def keep_key(self) -> None:
        """Copy the key of new mappings, in case it is replaced."""
        if self._keys is None:
            return
        try:
            self._keys.keep()
        except exception.MyDriverError as e:
            LOG.warning('No copy of the CHAP key can be kept: %s', e)

    def forget_keys(self, also: Collection[str]) -> None:
        """Remove keys that no session depends on.

        A NodeACL whose key is unknown may depend on any of them.

        :param also: fingerprints that are needed in addition to those of the
            journal.
        """
        kinds = [n.kind for n in self._journal.nodes()]
        if self._keys and all(k.key for k in kinds if k.chap is not False):
            self._keys.forget({*also, *(k.key for k in kinds)})


def of_settings(settings: pool.Settings, keys: chap.KeyRing | None,
                target: model.Iqn) -> model.NodeKind:
    """Return the kind of a new NodeACL, except for mutual CHAP.

    :param keys: of the backend, None when there are none.
    :param target: which it belongs to.
    """
    key = keys.current.fingerprint if settings.chap and keys else ''
    return model.NodeKind(
        chap=bool(key), key=key,
        portals=_portals(settings, target))


def _portals(settings: pool.Settings, target: model.Iqn) -> frozenset[str]:
    return frozenset(map(str, settings.portals_of(target)))


def outdated(nodes: list[model.Node],
             wanted_of: Callable[[model.Iqn], model.NodeKind]
             ) -> dict[str, list[model.Node]]:
    """Return the NodeACLs whose kind differs from that of new ones.

    :param wanted_of: returns the kind of new ones of a target.
    :returns: NodeACLs by what they keep.
    """
    found: dict[str, list[model.Node]] = {}
    for node in nodes:
        kind, wanted = node.kind, wanted_of(node.target)
        if kind.chap is not None and kind.chap != wanted.chap:
            what = 'CHAP' if kind.chap else 'no CHAP'
        elif kind.chap and kind.key != wanted.key:
            what = 'secrets of an earlier chap.key'
        elif kind.portals - wanted.portals:
            what = 'portals that are no longer configured'
        else:
            continue
        found.setdefault(what, []).append(node)
    return found

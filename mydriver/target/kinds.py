# SPDX-License-Identifier: Apache-2.0
"""What initiators were told at the targets, and are not told anew.

A session logs in again after each network fault, with what its initiator was
told when it attached: where, by CHAP or not, with which secret. So a NodeACL
keeps all of this until its last mapping goes, whatever the settings are by
then.
"""

from collections.abc import Collection
import dataclasses

from oslo_log import log as logging

from mydriver import exception, model
from mydriver.target import chap, kernel, pool
from mydriver.target.journal import base

LOG = logging.getLogger(__name__)


class Kinds:
    """The kinds of a backend's NodeACLs.

    :param settings: what new ones are told.
    :param journal: what the others were told.
    :param target: where it is found out what no journal tells.
    :param keys: from which secrets are derived; None where there are none.
    """

    def __init__(self, settings: pool.Settings, journal: base.Journal,
                 target: kernel.KernelTarget, keys: chap.KeyRing | None
                 ) -> None:
        self._settings = settings
        self._journal = journal
        self._target = target
        self._keys = keys
        self._portals = frozenset(str(p) for p in settings.portals)

    @property
    def of_new(self) -> model.NodeKind:
        """What a new NodeACL is told, but for mutual CHAP."""
        return of_settings(self._settings, self._keys)

    def found(self, asks: bool) -> model.NodeKind:
        """Return what is known of a NodeACL that only the kernel has.

        :param asks: it asks for CHAP.
        """
        # Nothing that there is comes from a key that was made just now; and
        # where the key was replaced, it may come from any of them.
        keys = self._keys
        known = asks and keys and keys.is_only and not keys.is_new
        return model.NodeKind(
            chap=asks, portals=self._portals,
            key=keys.current.fingerprint if known and keys else '')

    def secrets(self, placed: model.MappedExport
                ) -> model.ChapCredentials | None:
        """Return the secrets of a mapping.

        :returns: None where there are none, or none that are known.
        """
        kind = placed.kind
        if not kind.chap or self._keys is None:
            return None
        key = self._keys.get(kind.key)
        if key is None:
            return None
        return key.credentials(placed.mapping.initiator,
                               placed.export.target, kind.mutual)

    def check(self, placed: model.MappedExport) -> None:
        """See that what the initiator has to be told is known.

        :raises KeyLost: when it is not.
        """
        if placed.kind.chap and self.secrets(placed) is None:
            path = self._keys and self._keys.path(placed.kind.key or '*')
            raise exception.KeyLost(
                str(placed.mapping.initiator), str(placed.export.target),
                path or chap.KEY_FILE)

    def source_of(self, told: model.ChapCredentials | None,
                  initiator: model.Iqn, target: model.Iqn) -> str:
        """Return the fingerprint of the key of credentials, if it is ours."""
        if self._keys is None or told is None:
            return ''
        return self._keys.source_of(told, initiator, target)

    def learn(self) -> None:
        """Find out what a journal of version 1 does not tell."""
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
            portals = self._target.listening(node.target) | self._portals
            self._journal.set_kind(dataclasses.replace(
                node, kind=dataclasses.replace(
                    self.found(asks), mutual=node.kind.mutual,
                    portals=portals)))

    def more_portals(self) -> dict[model.Iqn, list[model.Portal]]:
        """Return where targets listen for those that attached before."""
        found: dict[model.Iqn, set[model.Portal]] = {}
        for node in self._journal.nodes():
            for text in node.kind.portals - self._portals:
                found.setdefault(node.target, set()).add(
                    model.Portal.parse(text))
        return {t: sorted(portals) for t, portals in found.items()}

    def keep_key(self) -> None:
        """Keep the key of new mappings for the time after it."""
        if self._keys is None:
            return
        try:
            self._keys.keep()
        except exception.ConfigurationError as e:
            LOG.warning('There is no copy of the CHAP key for the time after '
                        'it: %s', e)

    def forget_keys(self, also: Collection[str]) -> None:
        """Forget keys that no session depends on.

        Of a NodeACL whose key is not known, it may be any of them.

        :param also: fingerprints that are needed beside those of the journal.
        """
        kinds = [n.kind for n in self._journal.nodes()]
        if self._keys and all(k.key for k in kinds if k.chap is not False):
            self._keys.forget({*also, *(k.key for k in kinds)})


def of_settings(settings: pool.Settings, keys: chap.KeyRing | None
                ) -> model.NodeKind:
    """Return what a new NodeACL is told, but for mutual CHAP.

    :param keys: of the backend, None where there are none.
    """
    key = keys.current.fingerprint if settings.chap and keys else ''
    return model.NodeKind(
        chap=bool(key), key=key,
        portals=frozenset(str(p) for p in settings.portals))


def outdated(nodes: list[model.Node], wanted: model.NodeKind
             ) -> dict[str, list[model.Node]]:
    """Return the NodeACLs that are told something else than new ones.

    :param wanted: what new ones are told.
    :returns: by what it is that they keep.
    """
    found: dict[str, list[model.Node]] = {}
    for node in nodes:
        kind = node.kind
        if kind.chap is not None and kind.chap != wanted.chap:
            what = 'CHAP' if kind.chap else 'no CHAP'
        elif kind.chap and kind.key != wanted.key:
            what = 'secrets of an earlier chap.key'
        elif kind.portals - wanted.portals:
            what = 'portals that are not configured any more'
        else:
            continue
        found.setdefault(what, []).append(node)
    return found

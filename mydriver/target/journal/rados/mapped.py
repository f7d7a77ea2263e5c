# SPDX-License-Identifier: Apache-2.0
"""Reads mappings, and tells one version of a mapping from the next.

A version is a random number with a key of its own, which each attach
replaces. So what was read of a mapping before is not mistaken for what another
service has made of it since. Earlier releases neither write nor read these
keys.
"""

import secrets

from mydriver import exception, model
from mydriver.target.journal import values
from mydriver.target.journal.rados import keys, records, views


def mappings_of(target: model.Iqn, view: views.View
                ) -> list[model.MappedExport]:
    """Return the mappings that were read of a target."""
    return sorted(
        (mapped(view, target, volume_id, initiator_of(view, key, name))
         for key, rest in view.below(keys.MAPPINGS)
         for volume_id, _, name in [rest.partition('/')]),
        key=lambda one: (one.mapping.volume_id, one.mapping.initiator))


def mapped(view: views.View, target: model.Iqn, volume_id: str,
           initiator: model.Iqn) -> model.MappedExport:
    """Return a mapping, of which all parts were read.

    :raises JournalDamaged: when one of them is missing.
    """
    record = view.need(keys.mapping(volume_id, initiator), records.Mapped)
    export = view.need(keys.export(volume_id), records.Export)
    node = view.need(keys.node(initiator), records.Node)
    return model.MappedExport(
        model.Mapping(volume_id, initiator, record.lun, record.read_only),
        model.Export(volume_id, export.device, target, export.lun),
        node.kind, doomed=bool(record.doomed),
        version=_version(view, volume_id, initiator))


def initiator_of(view: views.View, key: str, name: str) -> model.Iqn:
    """Return the initiator at the end of a key.

    :raises JournalDamaged: when it is none.
    """
    if not values.is_iqn(name):
        raise view.damaged(key, 'it does not end with an initiator')
    return model.Iqn(name)


# -- versions

def versions_of(view: views.View) -> list[str]:
    """Return the keys of the versions of all mappings that were read."""
    return [keys.VERSIONS + rest for _, rest in view.below(keys.MAPPINGS)]


def renew(change: views.Change, volume_id: str, initiator: model.Iqn) -> None:
    """Give a mapping another version."""
    change.put(keys.version(volume_id, initiator),
               records.Version(secrets.token_hex(8)))


def forget(change: views.Change, volume_id: str, initiator: model.Iqn
           ) -> None:
    """Remove the version of a mapping that is removed."""
    change.remove(keys.version(volume_id, initiator))


def refuse_other(change: views.Change, volume_id: str, initiator: model.Iqn,
                 version: str | None) -> None:
    """Check that a mapping still has the version that it was read with.

    :param version: None for any.
    :raises Overtaken: when it has another one, or is gone.
    """
    if version is not None and (
            change.load(keys.mapping(volume_id, initiator), records.Mapped)
            is None or version != _version(change, volume_id, initiator)):
        raise exception.Overtaken.by_attach(volume_id, str(initiator))


def _version(view: views.View, volume_id: str, initiator: model.Iqn) -> str:
    found = view.load(keys.version(volume_id, initiator), records.Version)
    return found.id if found else ''

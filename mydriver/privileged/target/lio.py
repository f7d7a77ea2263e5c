# SPDX-License-Identifier: Apache-2.0
"""Privileged verbs for the kernel target.

Each verb is idempotent, takes and returns primitives, and makes the kernel
match the request exactly: an existing object is compared with it. A foreign
object in the place of ours is left alone, and is an error.

No text of a caller becomes a path before it has been checked as the name that
it stands for (:mod:`.requests`), and only the caller's own volume, in the
place that root's configuration gives to the backend, is exported
(:mod:`.backing`).

rtslib creates targets and portals, and sets CHAP up. Backstores, LUNs, mapped
LUNs and NodeACLs are made and removed here: some of its calls walk over all
objects of a target, which would make an attach slower with every volume, and
all look again and again whether their objects exist, which would be most of
the time of a takeover.
"""

from collections.abc import Callable
import contextlib
import functools
from pathlib import Path
import threading
from typing import Any

import rtslib_fb
from rtslib_fb import utils

from mydriver import exception, privileged
from mydriver.privileged import grants, values, verbs
from mydriver.privileged.target import (
    backing,
    backstores,
    configfs,
    links,
    nodeacls,
    requests,
    targets,
)

# One writer at a time: the daemon has a pool of threads, and the checks of
# rtslib and the kernel are not atomic with what follows them.
_lock = threading.Lock()

#: How long a call waits until a target is disabled.
DISABLE_TIMEOUT_S = 3.0


def _verb(what: str, lock: contextlib.AbstractContextManager[Any] = _lock
          ) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Serialise a verb, and raise rtslib's and the kernel's errors as ours.

    :param what: what the verb does, for the error's text.
    :param lock: by default one writes at a time.
    """
    def decorate(function: Callable[..., Any]) -> Callable[..., Any]:
        @verbs.translating_os_errors(what, exception.TargetError)
        @functools.wraps(function)
        def wrapper(*args: Any, **kwargs: Any) -> Any:
            try:
                grants.current()  # refuses files that others may write
                with lock:
                    return function(*args, **kwargs)
            except utils.RTSLibError as e:
                raise exception.TargetError(what, str(e)) from e
        return wrapper
    return decorate


# -- targets

#: How long an initiator whose connection broke waits before it logs in again,
#: seconds (RFC 7143, 13.15: the greater one of both sides' values). Addresses
#: that float come up with a target that is complete. Other targets may be on
#: their way down with their host: open-iscsi before 2.1.9 never logs in again
#: if a connection that it has just made is reset before it sends its first
#: request (https://github.com/open-iscsi/open-iscsi/issues/387).
_TIME_TO_WAIT = 'DefaultTime2Wait'
_WAIT_S = 2


@privileged.target_context.entrypoint
@_verb('set up a target')
def ensure_target(iqn: str, portals: list[list[Any]],
                  attributes: dict[str, int], at_once: bool = False
                  ) -> list[list[str]]:
    """Create a target with one TPG, its portals and attributes; enable it.

    Portals that exist and were not requested are kept: removing one under
    load can hang the kernel.

    :param iqn: name of the target.
    :param portals: ``[address, port]`` each, IPv6 in brackets; none for a
        target that nobody can log in to yet.
    :param attributes: TPG attributes and their values.
    :param at_once: initiators whose connection broke log in again at once;
        otherwise after 2 s.
    :returns: the portals that the kernel refused, each with the reason:
        another program may listen there, or the host may not support the
        address family.
    :raises TargetError: when the kernel refuses, as when it refuses all
        portals.
    """
    name = values.target(iqn)
    listening = requests.portals(portals)
    settings = requests.attributes(attributes)
    wait_s = 0 if values.boolean(at_once, 'at_once') else _WAIT_S
    targets.refuse_foreign_luns(name)
    tpg = rtslib_fb.TPG(rtslib_fb.Target(targets.fabric(), name), configfs.TPG)
    for attribute, value in settings.items():
        configfs.set_attribute(tpg, attribute, value)
    configfs.set_parameter(tpg, _TIME_TO_WAIT, wait_s)
    refused = [[str(portal), reason] for portal in listening
               if (reason := targets.ensure_portal(tpg, portal))]
    if refused and not any(Path(tpg.path, 'np').iterdir()):
        raise exception.TargetError(f'let {name} listen', ', '.join(
            f'{portal}: {reason}' for portal, reason in refused))
    nodeacls.drop_idle((Path(tpg.path) / 'acls').iterdir())
    if not tpg.enable:
        tpg.enable = True
    return refused


@privileged.target_context.entrypoint
@_verb('disable a target', contextlib.nullcontext())
def disable_target(iqn: str) -> bool:
    """Let a target accept no logins, and end its sessions.

    :func:`ensure_target` enables it again. Portals, LUNs and NodeACLs stay.

    :param iqn: name of the target; it need not exist.
    :returns: False while the kernel still waits for devices to answer. It
        goes on; call again to find out.
    :raises ForeignObject: when the target has a LUN that is not ours.
    :raises TargetError: when the kernel refuses.
    """
    name = values.target(iqn)
    targets.refuse_foreign_luns(name)
    return targets.disable(name, DISABLE_TIMEOUT_S)


@privileged.target_context.entrypoint
@_verb('create the directory of persistent reservations')
def ensure_database() -> None:
    """Create the directories that the kernel target writes to.

    rtslib makes the kernel use /etc/target as long as there is no backstore.
    The kernel creates neither that directory nor the one below it, and without
    them guests' persistent reservations fail
    (drivers/target/target_core_pr.c).

    :raises ConfigurationError: when they cannot be created.
    """
    targets.ensure_database()


@privileged.target_context.entrypoint
@_verb('remove an unused target')
def drop_target(iqn: str) -> bool:
    """Remove a target of our naming that nobody can be using.

    Without LUNs and NodeACLs it has no session, and removing its portals
    cannot hang the kernel, which itself refuses to remove a TPG that has got
    a LUN or a NodeACL since.

    :param iqn: name of the target.
    :returns: False when it has LUNs, NodeACLs or sessions, and was kept.
    :raises RequestRefused: when its name is not one of ours.
    :raises TargetError: when the kernel refuses.
    """
    return targets.remove_unused(values.target(iqn))


# -- exports

@privileged.target_context.entrypoint
@_verb('export a volume')
def ensure_export(export: dict[str, Any]) -> None:
    """Create the backstore of a volume and its LUN in the TPG.

    :param export: ``target`` (IQN), ``lun`` (in the TPG), ``name`` of the
        backstore, ``volume_id`` (unit serial), ``kind``, ``path``,
        ``size_bytes``.
    :raises ForeignObject: when the LUN or the name is another object's.
    :raises TargetError: when the kernel refuses.
    """
    _ensure_export(requests.wanted(export))


@privileged.target_context.entrypoint
@_verb('withdraw a volume')
def drop_export(export: dict[str, Any]) -> None:
    """Remove the LUN and the backstore of a volume, if they exist.

    The kernel refuses while the LUN is mapped.

    :param export: ``target``, ``lun``, ``name``, ``volume_id``, ``kind``.
    :raises TargetError: when the kernel refuses.
    """
    placed = requests.placed(export)
    storage_object = configfs.storage_object(placed)
    backstores.refuse_foreign(storage_object, placed['volume_id'])
    lun = configfs.lun(placed)
    link = links.target_of(lun)
    if link is None or link.resolve() == storage_object.resolve():
        links.refuse_if_mapped(lun)
        links.remove(lun)
    backstores.remove(storage_object)


@privileged.target_context.entrypoint
@_verb('resize a volume')
def resize(export: dict[str, Any]) -> None:
    """Set the size of a live fileio backstore whose file has grown.

    Nothing needs to be set for iblock, which reads the size from the device.

    :param export: as for :func:`ensure_export`.
    :raises TargetError: when the kernel refuses.
    """
    wanted = requests.wanted(export)
    path = configfs.storage_object(wanted)
    if wanted['kind'] == 'fileio' and backstores.is_enabled(path):
        with backing.opened(wanted) as found:
            backstores.bring_up_to_date(path, wanted, found)


# -- mappings

@privileged.target_context.entrypoint
@_verb('map a volume to an initiator')
def ensure_mapping(export: dict[str, Any], mapping: dict[str, Any],
                   chap: dict[str, str] | None) -> None:
    """Create the export, the NodeACL and the mapped LUN: all of an attach.

    Nothing is written to any object before all are known to be ours.

    :param export: as for :func:`ensure_export`.
    :param mapping: ``initiator`` (IQN), ``lun``, ``read_only``, and
        ``authentication``: 1 the NodeACL asks for CHAP, 0 it does not,
        -1 it does what its TPG does.
    :param chap: ``username``, ``password``, ``mutual_username``,
        ``mutual_password`` (both empty without mutual CHAP); None keeps
        those of the NodeACL.
    :raises ForeignObject: when a LUN is another object's, or the NodeACL has
        LUNs of another backend.
    :raises TargetError: when the kernel refuses.
    """
    export, mapping = requests.wanted(export), requests.mapping(mapping)
    chap = requests.chap(chap)
    tpg_lun = configfs.lun(export)
    lun = (configfs.acl(export['target'], mapping['initiator'])
           / f'lun_{mapping["lun"]}')
    what = f'Mapped LUN {mapping["lun"]} of {mapping["initiator"]}'
    links.refuse_foreign(tpg_lun, configfs.storage_object(export),
                         f'LUN {export["lun"]} of {export["target"]}')
    links.refuse_foreign(lun, tpg_lun, what)
    nodeacls.refuse_foreign(lun.parent, export['name'].removesuffix(
        export['volume_id']))
    _ensure_export(export)
    nodeacls.drop_idle(nodeacls.emptied)
    lun.parent.mkdir(exist_ok=True)
    if chap is not None:
        nodeacls.ensure_chap(targets.nodeacl(
            export['target'], mapping['initiator']), chap)
    nodeacls.ensure_authentication(lun.parent, mapping['authentication'])
    links.ensure(lun, tpg_lun, what)
    protect, wanted = lun / 'write_protect', str(int(mapping['read_only']))
    if protect.read_text().strip() != wanted:
        protect.write_text(wanted)


@privileged.target_context.entrypoint
@_verb('unmap a volume from an initiator')
def drop_mapping(export: dict[str, Any], initiator: str, lun: int) -> None:
    """Remove a mapped LUN, and the NodeACL with the last of them.

    While the initiator is logged in, an empty NodeACL stays: commands to the
    LUN then fail at once. Without a NodeACL the kernel ends the session,
    which can never log in again, and its commands wait for the initiator's
    ``replacement_timeout``, 120 s by default
    (drivers/target/target_core_tpg.c, core_tpg_del_initiator_node_acl). The
    next call that finds the NodeACL idle removes it.

    :param export: ``target`` and ``lun`` that the mapping must lead to.
    :param initiator: name of the initiator.
    :param lun: the LUN that the initiator sees.
    :raises TargetError: when the kernel refuses.
    """
    placed = requests.placed(export)
    acl = configfs.acl(placed['target'], initiator)
    mapped = acl / f'lun_{requests.lun(lun)}'
    link = links.target_of(mapped)
    tpg_lun = configfs.lun(placed)
    leads_to = links.target_of(tpg_lun)
    if leads_to is not None and leads_to.resolve() != configfs.storage_object(
            placed).resolve():
        raise exception.ForeignObject(
            f'LUN {placed["lun"]} of {placed["target"]}',
            f'it leads to {leads_to.resolve()}')
    if link is None or link.resolve() == tpg_lun.resolve():
        links.remove(mapped)
    nodeacls.drop_idle([acl, *nodeacls.emptied])


@privileged.target_context.entrypoint
@_verb('read a NodeACL')
def is_mutual(target: str, initiator: str) -> bool:
    """Tell whether a NodeACL uses mutual CHAP.

    :param target: name of the target.
    :param initiator: name of the initiator; its NodeACL must exist.
    :raises TargetError: when the kernel refuses.
    """
    auth = configfs.acl(values.target(target), initiator) / 'auth'
    return (auth / 'authenticate_target').read_text().strip() == '1'


def _ensure_export(export: dict[str, Any]) -> None:
    """Create the backstore and the LUN of a volume.

    :param export: checked.
    """
    if not configfs.tpg(export['target']).is_dir():
        raise exception.TargetError(
            'export a volume', f'there is no target {export["target"]}')
    what = f'LUN {export["lun"]} of {export["target"]}'
    lun = configfs.lun(export)
    links.refuse_foreign(lun, configfs.storage_object(export), what)
    with backing.opened(export) as found:
        storage_object = backstores.ensure(export, found)
    links.ensure(lun, storage_object, what)

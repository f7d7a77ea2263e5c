# SPDX-License-Identifier: Apache-2.0
"""The Linux kernel target (LIO): reads configfs, calls privileged verbs."""

from collections.abc import Callable, Sequence
import os
from typing import Any

from oslo_log import log as logging

from mydriver import exception, model
from mydriver.privileged import channel
from mydriver.privileged.target import lio as as_root
from mydriver.target import addresses, configfs, kernel, pool

LOG = logging.getLogger(__name__)

#: Attributes of each TPG: explicit NodeACLs, and discovery that shows a target
#: only to initiators with one (drivers/target/iscsi/iscsi_target_tpg.c).
TPG_ATTRIBUTES = {
    'generate_node_acls': 0,
    'cache_dynamic_acls': 0,
    'demo_mode_discovery': 0,
    'demo_mode_write_protect': 1,
    'prod_mode_write_protect': 0,
}

#: Returns the portals of a target.
PortalsOf = Callable[[model.Iqn], Sequence[model.Portal]]


class LioTarget:
    """The Linux kernel target.

    :param backend: name of the backend; backstores are named after it.
    :param portals: where the targets listen.
    :param chap: ask new initiators for CHAP.
    :param portals_of: where each target listens when its addresses float, so
        that this host may lack them; by default all listen at ``portals``.
    """

    def __init__(self, backend: str, portals: Sequence[model.Portal],
                 chap: bool, portals_of: PortalsOf | None = None) -> None:
        self.name_prefix = pool.backstore_prefix(backend)
        self._portals = tuple(portals)
        self._chap = chap
        self._is_floating = portals_of is not None
        self._portals_of = portals_of or (lambda _target: self._portals)

    def check(self) -> list[str]:
        """See :meth:`.kernel.KernelTarget.check`."""
        if not os.path.ismount(configfs.ROOT.parent):
            raise exception.ConfigurationError(
                'Kernel target', f'configfs is not mounted at '
                f'{configfs.ROOT.parent}',
                'Run mount -t configfs configfs /sys/kernel/config, or '
                'systemctl start sys-kernel-config.mount.')
        if not configfs.ROOT.is_dir():
            raise exception.ConfigurationError(
                'Kernel target', 'module target_core_mod is not loaded',
                'Run modprobe -a target_core_mod iscsi_target_mod, and name '
                'them in /etc/modules-load.d/.')
        absent = () if self._is_floating else _absent(self._portals)
        return [*absent, *_discovery()]

    def create(self, targets: Sequence[model.Iqn]) -> None:
        """See :meth:`.kernel.KernelTarget.create`."""
        existing = set(configfs.names())
        self._each([t for t in targets if str(t) not in existing],
                   self._ensure_target)

    def ensure_pool(self, targets: Sequence[model.Iqn],
                    more: kernel.More | None = None) -> None:
        """See :meth:`.kernel.KernelTarget.ensure_pool`."""
        def ensure(target: model.Iqn) -> None:
            self._ensure_target(target, self._portals_of(target))
            for portal in (more or {}).get(target, ()):
                self._ensure_portal(target, portal)

        self._each(targets, ensure)

    @staticmethod
    def _each(targets: Sequence[model.Iqn],
              ensure: Callable[[model.Iqn], None]) -> None:
        """Do something for each target; skip those that fail.

        :raises TargetError: when all fail.
        """
        try:
            channel.run(as_root.ensure_database)
        except exception.MyDriverError as e:
            # Only persistent reservations depend on it.
            LOG.error('%s', e)
        failed = []
        for target in targets:
            try:
                ensure(target)
            except exception.TargetError as e:
                failed.append(e)
                LOG.error('Target %s: %s', target, e)
        if failed and len(failed) == len(targets):
            raise failed[0]

    def _ensure_target(self, target: model.Iqn,
                       portals: Sequence[model.Portal] = ()) -> None:
        attributes = {**TPG_ATTRIBUTES, 'authentication': int(self._chap)}
        if configfs.is_bound(target):
            # Live sessions depend on the TPG's setting until they end.
            del attributes['authentication']
        refused = channel.run(
            as_root.ensure_target, str(target),
            [[p.host, p.port] for p in portals], attributes,
            self._is_floating)
        for portal, reason in refused:
            LOG.warning('Target %s does not listen at %s: %s. See ss -ltnp '
                        'for another program that does.', target, portal,
                        reason)

    def _ensure_portal(self, target: model.Iqn, portal: model.Portal) -> None:
        """Make a target listen at a portal of existing sessions, if it can."""
        try:
            refused = channel.run(
                as_root.ensure_target, str(target),
                [[portal.host, portal.port]], {}, self._is_floating)
            reason = refused[0][1] if refused else None
        except exception.TargetError as e:
            reason = str(e)
        if reason:
            LOG.warning('Hosts can no longer log in to %s at %s: %s', target,
                        portal, reason)

    def disable(self, target: model.Iqn) -> bool:
        """See :meth:`.kernel.KernelTarget.disable`."""
        return bool(channel.run(as_root.disable_target, str(target)))

    def drop_target(self, target: model.Iqn) -> bool:
        """See :meth:`.kernel.KernelTarget.drop_target`."""
        return bool(channel.run(as_root.drop_target, str(target)))

    def ensure_export(self, export: model.Export) -> None:
        """See :meth:`.kernel.KernelTarget.ensure_export`."""
        channel.run(as_root.ensure_export, self._primitives(export))

    def ensure_mapping(self, mapped: model.MappedExport,
                       secrets: model.ChapCredentials | None = None) -> None:
        """See :meth:`.kernel.KernelTarget.ensure_mapping`."""
        mapping, asks = mapped.mapping, mapped.kind.chap
        channel.run(as_root.ensure_mapping,
                    self._primitives(mapped.export),
                    {'initiator': str(mapping.initiator), 'lun': mapping.lun,
                     'read_only': mapping.read_only,
                     'authentication': -1 if asks is None else int(asks)},
                    _primitives_of(secrets))

    def drop_mapping(self, mapped: model.MappedExport) -> None:
        """See :meth:`.kernel.KernelTarget.drop_mapping`."""
        channel.run(as_root.drop_mapping, self._primitives(mapped.export),
                    str(mapped.mapping.initiator), mapped.mapping.lun)

    def drop_export(self, export: model.Export) -> None:
        """See :meth:`.kernel.KernelTarget.drop_export`."""
        channel.run(as_root.drop_export, self._primitives(export))

    def resize(self, export: model.Export) -> None:
        """See :meth:`.kernel.KernelTarget.resize`."""
        channel.run(as_root.resize, self._primitives(export))

    def is_mutual(self, target: model.Iqn, initiator: model.Iqn) -> bool:
        """See :meth:`.kernel.KernelTarget.is_mutual`."""
        return bool(channel.run(as_root.is_mutual,
                                str(target), str(initiator)))

    def names(self) -> list[str]:
        """See :meth:`.kernel.KernelTarget.names`."""
        return configfs.names()

    def observe(self, target: model.Iqn) -> configfs.SeenTarget | None:
        """See :meth:`.kernel.KernelTarget.observe`."""
        return configfs.target(target)

    def listening(self, target: model.Iqn) -> frozenset[str]:
        """See :meth:`.kernel.KernelTarget.listening`."""
        return frozenset(p for p in configfs.listening(target)
                         if not addresses.absent(model.Portal.parse(p)))

    def _primitives(self, export: model.Export) -> dict[str, Any]:
        return {'target': str(export.target), 'lun': export.lun,
                'name': self.name_prefix + export.volume_id,
                'volume_id': export.volume_id, 'kind': export.device.kind,
                'path': export.device.path,
                'size_bytes': export.device.size_bytes}


def of_backend(settings: pool.Settings) -> LioTarget:
    """Return the target of a backend."""
    return LioTarget(settings.backend, settings.portals, settings.chap,
                     settings.portals_of if settings.gateways else None)


def _primitives_of(secrets: model.ChapCredentials | None
                   ) -> dict[str, str] | None:
    if secrets is None:
        return None
    return {'username': secrets.username, 'password': secrets.password,
            'mutual_username': secrets.mutual_username or '',
            'mutual_password': secrets.mutual_password or ''}


def _absent(portals: Sequence[model.Portal]) -> list[str]:
    """Return a warning for each portal whose address this host lacks.

    :raises ConfigurationError: when it has none of them.
    """
    missing = {p: why for p in portals if (why := addresses.absent(p))}
    if len(missing) == len(portals):
        raise exception.NoAddress(
            ', '.join(sorted({addresses.option_of(portals, p)
                              for p in missing})),
            'this host has none of the addresses: ' + ', '.join(
                f'{p.address} ({why})' for p, why in missing.items()),
            'Set addresses of this host, and check that their interfaces are '
            'up.')
    return [f'{addresses.option_of(portals, p)}: {p.address} is not an '
            f'address of this host ({why}). Hosts get the other portals; it '
            'is served as soon as it is present.'
            for p, why in missing.items()]


def _discovery() -> list[str]:
    """Return a warning if discovery asks for CHAP."""
    enforced = configfs.discovery_chap()
    if enforced is None:
        return []
    text = ('Discovery asks for CHAP on this host, for all targets. So it is '
            'not checked whether a host sees its target, and stock os-brick '
            f'does not find all portals. Run echo 0 > {enforced}; that grants '
            'no access: a target is only shown to initiators with a NodeACL.'
            )
    return [text]

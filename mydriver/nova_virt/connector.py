# SPDX-License-Identifier: Apache-2.0
"""os-brick's iSCSI connector, with our engine for our volumes.

Volumes of other backends are left to os-brick, unchanged. So are ours over an
interface other than plain TCP, but then the identity of the device is verified
afterwards.
"""

import functools
import logging
from pathlib import Path
from typing import Any

from os_brick import exception as brick_exception
from os_brick import utils
from os_brick.initiator.connectors import iscsi
from oslo_config import cfg

from mydriver import events, exception, vpd
from mydriver.connection import iscsi as grammar
from mydriver.initiator.attach import Attacher
from mydriver.initiator.detach import Detacher
from mydriver.initiator.extend import Extender
from mydriver.initiator.host import Host, log_and_continue
from mydriver.initiator.verbs import PrivilegedVerbs
from mydriver.waiting import wait_for

LOG = logging.getLogger(__name__)

#: Where os-brick puts the link of an encrypted volume
#: (os_brick.utils.CUSTOM_LINK_PREFIX).
BY_ID = Path('/dev/disk/by-id')
#: How long udev may take to make the links of a new disk.
LINKS_TIMEOUT_S = 30

#: Values of ``[libvirt] iscsi_iface`` that mean plain TCP.
_PLAIN = ('default', 'tcp')


class ISCSIConnector(iscsi.ISCSIConnector):
    """Attaches iSCSI volumes; ours faster, and with their identity verified.

    No method here is traced with ``os_brick.utils.trace``, which logs
    arguments.

    :param host: the compute host; this one by default.
    :param kwargs: as os-brick's.
    """

    def __init__(self, root_helper: str, *args: Any,
                 host: Host | None = None, **kwargs: Any) -> None:
        super().__init__(root_helper, *args, **kwargs)
        self._host = host

    @property
    def host(self) -> Host:
        """The host, made on first use: the lock path is not set earlier."""
        if not self._host:
            self._host = Host(PrivilegedVerbs(), _lock_folder())
        return self._host

    def _is_ours(self, properties: dict[str, Any]) -> bool:
        return (grammar.is_ours(properties)
                and self._get_transport() in _PLAIN)

    def connect_volume(
            self, connection_properties: dict[str, Any]) -> dict[str, Any]:
        """Attach a volume, see os-brick.

        :param connection_properties: ``connection_info['data']``.
        :returns: ``type``, ``path``, ``scsi_wwn`` and, for a multipath map,
            ``multipath_id``.
        """
        if not grammar.is_ours(connection_properties):
            return dict(super().connect_volume(connection_properties))
        if not self._is_ours(connection_properties):
            return self._checked(
                connection_properties,
                dict(super().connect_volume(connection_properties)))
        try:
            with events.operation('connect_volume',
                                  connection_properties.get('volume_id')):
                return dict(self._connect_ours(connection_properties))
        except exception.MyDriverError:
            raise               # nothing was left behind
        except Exception:
            log_and_continue(functools.partial(
                self._disconnect_ours, connection_properties, None,
                force=True, ignore_errors=True))
            raise

    def _checked(self, properties: dict[str, Any],
                 result: dict[str, Any]) -> dict[str, Any]:
        """Return the result of os-brick if its device is the volume.

        :raises WrongDevice: if it is not; it has been detached again.
        """
        try:
            Attacher(self.host).check(grammar.Connection.parse(properties),
                                result['path'])
        except exception.MyDriverError:
            log_and_continue(functools.partial(
                super().disconnect_volume, properties, result, force=True,
                ignore_errors=True))
            raise
        return result

    @utils.connect_volume_prepare_result
    def _connect_ours(
            self, connection_properties: dict[str, Any]) -> dict[str, Any]:
        """Attach a volume of ours.

        The decorator makes a link for encrypted volumes, which the encryptor
        may replace.
        """
        attached = Attacher(self.host).connect(
            grammar.Connection.parse(connection_properties),
            self._wants_multipath(connection_properties))
        if connection_properties.get('encrypted'):
            _await_links(attached.device)
        wwid = vpd.wwid(attached.naa)
        result = {'type': 'block', 'path': f'/dev/{attached.device}',
                  'scsi_wwn': wwid}
        if attached.multipath:
            result['multipath_id'] = wwid
        return result

    def _wants_multipath(self, properties: dict[str, Any]) -> bool:
        """Tell whether to use multipath.

        :raises BrickException: if multipath is enforced and multipathd does
            not run, as os-brick does.
        """
        if not self.use_multipath:
            return False
        if self.host.multipath.runs():
            return True
        self.check_multipath(properties)
        return False

    def disconnect_volume(
            self, connection_properties: dict[str, Any],
            device_info: dict[str, Any] | None = None, force: bool = False,
            ignore_errors: bool = False) -> None:
        """Detach a volume, see os-brick; it may be detached already.

        :param connection_properties: ``connection_info['data']``.
        :param device_info: what :meth:`connect_volume` returned, or None.
        :param force: go on if cached data cannot be written to the volume.
        :param ignore_errors: with ``force``: log errors instead of raising.
        """
        if 'target_iqn' not in connection_properties and ignore_errors:
            # os_brick.utils.connect_volume_prepare_result passes the result
            # of connect_volume if it could not make the link.
            return
        if not self._is_ours(connection_properties):
            super().disconnect_volume(connection_properties, device_info,
                                      force=force,
                                      ignore_errors=ignore_errors)
            return
        with events.operation('disconnect_volume',
                              connection_properties.get('volume_id')):
            self._disconnect_ours(connection_properties, device_info, force,
                                  ignore_errors)

    @utils.connect_volume_undo_prepare_result(unlink_after=True)
    def _disconnect_ours(
            self, connection_properties: dict[str, Any],
            device_info: dict[str, Any] | None, force: bool,
            ignore_errors: bool) -> None:
        try:
            Detacher(self.host).disconnect(
                grammar.Connection.parse(connection_properties), force)
        except exception.MyDriverError as e:
            if not (force and ignore_errors):
                raise
            LOG.warning('Ignored in a forced detach: %s', e)

    def extend_volume(
            self, connection_properties: dict[str, Any]) -> int | None:
        """Make the host use a volume's new size, see os-brick.

        :returns: size, bytes.
        """
        if not self._is_ours(connection_properties):
            size: int | None = super().extend_volume(connection_properties)
            return size
        try:
            with events.operation('extend_volume',
                                  connection_properties.get('volume_id')):
                return Extender(self.host).extend(
                    grammar.Connection.parse(connection_properties))
        except exception.DeviceNotFound as e:
            raise brick_exception.VolumePathsNotFound() from e


def _await_links(device: str) -> None:
    """Wait until udev has linked a disk, and so made the directory of links.

    udev removes the directory with its last link, and os-brick does not
    create it. The kernel's device node, which is what we wait for otherwise,
    appears earlier.
    """
    def linked() -> bool:
        return BY_ID.is_dir() and any(
            p.resolve().name == device for p in BY_ID.iterdir())

    try:
        wait_for(linked, f'udev to link {device} in {BY_ID}',
                 LINKS_TIMEOUT_S)
    except exception.WaitTimeout as e:
        LOG.warning('%s The attach of an encrypted volume may fail.', e)


def _lock_folder() -> Path:
    """Return the directory of os-brick's lock files.

    :raises ConfigurationError: if no directory is configured.
    """
    folder = cfg.CONF.os_brick.lock_path
    if not folder:
        raise exception.ConfigurationError(
            '[os_brick] lock_path', 'it is not set, nor is '
            '[oslo_concurrency] lock_path', 'Set one of them to a directory '
            'that the service may write to.')
    return Path(folder)

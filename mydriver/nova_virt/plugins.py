# SPDX-License-Identifier: Apache-2.0
"""Libvirt volume drivers of installed packages, found by entry point."""

import logging
from typing import Any

from stevedore import extension

from mydriver import exception

LOG = logging.getLogger(__name__)

#: Entry point group; the name of an entry is the ``driver_volume_type`` that
#: it serves instead of nova's own driver.
NAMESPACE = 'nova.virt.libvirt.volume_drivers'


def volume_driver_classes(namespace: str = NAMESPACE) -> dict[str, Any]:
    """Return the volume driver classes that packages offer, by type.

    :param namespace: entry point group.
    :raises ConfigurationError: if one cannot be loaded, or if two packages
        offer the same type.
    """
    manager = extension.ExtensionManager(
        namespace, on_load_failure_callback=_failed)
    classes: dict[str, Any] = {}
    for found in manager:
        if found.name in classes:
            raise _error(found.name, 'more than one package offers it: '
                         f'{classes[found.name].__module__} and '
                         f'{found.plugin.__module__}')
        classes[found.name] = found.plugin
        LOG.info('Volumes of type %s use %s', found.name,
                 found.entry_point_target)
    return classes


def volume_driver(driver_type: str, cls: Any, host: Any) -> Any:
    """Make a volume driver.

    :param driver_type: the ``driver_volume_type`` that it serves.
    :param cls: its class.
    :param host: :class:`nova.virt.libvirt.host.Host`.
    :raises ConfigurationError: if its constructor fails.
    """
    try:
        return cls(host)
    except Exception as e:
        raise _error(driver_type, f'{cls.__module__}.{cls.__qualname__} '
                     f'cannot be made: {type(e).__name__}: {e}') from e


def _failed(manager: Any, entry_point: Any, error: BaseException) -> None:
    raise _error(entry_point.name, f'{entry_point.value} cannot be loaded: '
                 f'{type(error).__name__}: {error}') from error


def _error(driver_type: str, problem: str) -> exception.ConfigurationError:
    return exception.ConfigurationError(
        f'entry point {driver_type} of {NAMESPACE}', problem,
        'Repair or remove the package that declares it.')

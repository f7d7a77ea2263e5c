# SPDX-License-Identifier: Apache-2.0
"""How an unmodified nova-compute finds ``compute_driver = mydriver.*``.

nova imports ``nova.virt.`` and the option's value, and has no hook for a
driver from elsewhere. What it does load from elsewhere, before the compute
driver, are the plugins of os-vif (nova/cmd/compute.py). Ours plugs nothing:
when it is loaded, it adds a finder for the one name ``nova.virt.mydriver``.

Other services load os-vif's plugins as well, where there may be no nova. So
nothing of nova is imported here, and the finder does nothing until somebody
imports that name.
"""

from collections.abc import Sequence
import importlib
from importlib import abc, machinery
import sys
from types import ModuleType
from typing import Any, Self

from os_vif import exception, plugin
from os_vif.objects import host_info

#: What nova imports for ``compute_driver = mydriver.LibvirtDriver``.
ALIAS = 'nova.virt.mydriver'

#: Where it is.
DRIVER_MODULE = 'mydriver.nova_virt.driver'


class NovaVirtFinder(abc.MetaPathFinder, abc.Loader):
    """Finds and makes the module :data:`ALIAS`, and no other."""

    def find_spec(self, fullname: str, path: Sequence[str] | None,
                  target: ModuleType | None = None,
                  ) -> machinery.ModuleSpec | None:
        """See :class:`importlib.abc.MetaPathFinder`."""
        if fullname != ALIAS:
            return None
        return machinery.ModuleSpec(fullname, self, origin=DRIVER_MODULE)

    def exec_module(self, module: ModuleType) -> None:
        """Fill the module with the names that our driver's module offers."""
        driver = importlib.import_module(DRIVER_MODULE)
        for name in driver.__all__:
            setattr(module, name, getattr(driver, name))


def install() -> None:
    """Add the finder, once; after all others, so that it shadows nothing."""
    if not any(isinstance(f, NovaVirtFinder) for f in sys.meta_path):
        sys.meta_path.append(NovaVirtFinder())


class NovaVirtFinderPlugin(plugin.PluginBase):
    """An os-vif plugin that plugs no VIF, see the module's text."""

    @classmethod
    def load(cls, plugin_name: str) -> Self:
        """Install the finder; called by :func:`os_vif.initialize`."""
        install()
        loaded: Self = super().load(plugin_name)
        return loaded

    def describe(self) -> Any:
        """Say that there is no VIF type that we plug."""
        return host_info.HostPluginInfo(plugin_name='mydriver', vif_info=[])

    def plug(self, vif: Any, instance_info: Any) -> None:
        """Refuse; nothing names us as a VIF's plugin."""
        raise exception.NoMatchingPlugin(plugin_name='mydriver')

    def unplug(self, vif: Any, instance_info: Any) -> None:
        """Refuse; nothing names us as a VIF's plugin."""
        raise exception.NoMatchingPlugin(plugin_name='mydriver')

# SPDX-License-Identifier: Apache-2.0
"""How an unmodified nova-compute finds ``compute_driver = mydriver.*``.

nova imports ``nova.virt.`` and the option's value, and has no hook for a
driver of another package. Before the compute driver, it loads the plugins of
os-vif (nova/cmd/compute.py). Ours plugs nothing: when it is loaded, it adds an
import finder for the one name ``nova.virt.mydriver``.

Other services load os-vif's plugins too, and nova may not be installed there.
So nothing of nova is imported here, and the finder does nothing until that
name is imported.
"""

from collections.abc import Sequence
import importlib
from importlib import abc, machinery
import sys
from types import ModuleType
from typing import Any, Self

from os_vif import exception, plugin
from os_vif.objects import host_info

from mydriver import releases

#: What nova imports for ``compute_driver = mydriver.LibvirtDriver``.
ALIAS = 'nova.virt.mydriver'

#: The module behind it.
DRIVER_MODULE = 'mydriver.nova_virt.driver'


class NovaVirtFinder(abc.MetaPathFinder, abc.Loader):
    """Finds and loads the module :data:`ALIAS`, and no other."""

    def find_spec(self, fullname: str, path: Sequence[str] | None,
                  target: ModuleType | None = None,
                  ) -> machinery.ModuleSpec | None:
        """See :class:`importlib.abc.MetaPathFinder`."""
        if fullname != ALIAS:
            return None
        return machinery.ModuleSpec(fullname, self, origin=DRIVER_MODULE)

    def exec_module(self, module: ModuleType) -> None:
        """Fill the module with the public names of our driver's module.

        :raises UnsupportedRelease: when nova is one that does not work.
        """
        releases.check('nova')
        driver = importlib.import_module(DRIVER_MODULE)
        for name in driver.__all__:
            setattr(module, name, getattr(driver, name))


def install() -> None:
    """Add the finder once, as the last one, so that it shadows nothing."""
    if not any(isinstance(f, NovaVirtFinder) for f in sys.meta_path):
        sys.meta_path.append(NovaVirtFinder())


class NovaVirtFinderPlugin(plugin.PluginBase):
    """An os-vif plugin that plugs no VIF; see the module's docstring."""

    @classmethod
    def load(cls, plugin_name: str) -> Self:
        """Install the finder; called by :func:`os_vif.initialize`."""
        install()
        loaded: Self = super().load(plugin_name)
        return loaded

    def describe(self) -> Any:
        """Return that this plugin supports no type of VIF."""
        return host_info.HostPluginInfo(plugin_name='mydriver', vif_info=[])

    def plug(self, vif: Any, instance_info: Any) -> None:
        """Refuse: no VIF names this plugin."""
        raise exception.NoMatchingPlugin(plugin_name='mydriver')

    def unplug(self, vif: Any, instance_info: Any) -> None:
        """Refuse: no VIF names this plugin."""
        raise exception.NoMatchingPlugin(plugin_name='mydriver')

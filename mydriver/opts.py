# SPDX-License-Identifier: Apache-2.0
"""The driver's options, for oslo-config-generator (``oslo.config.opts``).

This module loads without cinder and nova.
"""

from collections.abc import Sequence
import copy

from oslo_config import cfg
from oslo_privsep import priv_context

from mydriver import privileged
from mydriver.backend import opts as cinder_volume_opts
from mydriver.privileged import context

_Sections = list[tuple[str, Sequence[cfg.Opt]]]


def list_opts() -> _Sections:
    """Return all options by section (namespace ``mydriver``).

    :returns: pairs of a section's name and its options.
    """
    return [*list_cinder_opts(), *list_nova_opts()]


def list_cinder_opts() -> _Sections:
    """Return those of cinder.conf (namespace ``mydriver.cinder``).

    The backend's options are listed under ``[backend_defaults]`` and can also
    be set in the section of each backend. The section of the privileged
    daemon shows the defaults that this driver sets.

    :returns: pairs of a section's name and its options.
    """
    return [
        (cinder_volume_opts.SHARED_SECTION,
         cinder_volume_opts.VOLUME_OPTS),
        (privileged.target_context.cfg_section,
         _privsep_opts(privileged.TARGET_CAPABILITIES)),
    ]


def list_nova_opts() -> _Sections:
    """Return those of nova.conf (namespace ``mydriver.nova``).

    :returns: pairs of a section's name and its options.
    """
    return [(privileged.initiator_context.cfg_section,
             _privsep_opts(privileged.INITIATOR_CAPABILITIES))]


def _privsep_opts(capabilities: Sequence[int]) -> list[cfg.Opt]:
    """Return oslo.privsep's options with the defaults of our daemons."""
    opts = list(copy.deepcopy(priv_context.OPTS))
    cfg.set_defaults(opts, capabilities=list(capabilities),
                     thread_pool_size=context.THREADS)
    for opt in opts:
        if opt.name == 'thread_pool_size':
            opt.sample_default = None  # it would hide the default
    return opts

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


def list_opts() -> list[tuple[str, Sequence[cfg.Opt]]]:
    """Return the options by section.

    The backend's options are listed under ``[backend_defaults]`` and can also
    be set in the section of each backend. The sections of the privileged
    daemons show the defaults that this driver sets.

    :returns: pairs of a section's name and its options.
    """
    return [
        (cinder_volume_opts.SHARED_SECTION,
         cinder_volume_opts.VOLUME_OPTS),
        (privileged.target_context.cfg_section,
         _privsep_opts(privileged.TARGET_CAPABILITIES)),
        (privileged.initiator_context.cfg_section,
         _privsep_opts(privileged.INITIATOR_CAPABILITIES)),
    ]


def _privsep_opts(capabilities: Sequence[int]) -> list[cfg.Opt]:
    """Return oslo.privsep's options with a daemon's capabilities."""
    opts = list(copy.deepcopy(priv_context.OPTS))
    cfg.set_defaults(opts, capabilities=list(capabilities))
    return opts

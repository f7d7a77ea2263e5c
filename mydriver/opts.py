# SPDX-License-Identifier: Apache-2.0
"""All options of ours, for oslo-config-generator (``oslo.config.opts``).

Neither cinder nor nova has to be installed.
"""

from collections.abc import Sequence
import copy

from oslo_config import cfg
from oslo_privsep import priv_context

from mydriver import privileged
from mydriver.backend import opts as cinder_volume_opts


def list_opts() -> list[tuple[str, Sequence[cfg.Opt]]]:
    """Return the options by section.

    The backend's options are shown under ``[backend_defaults]``; they may
    stand in the section of each backend as well. Those of the privileged
    daemons have the defaults of ours.
    """
    return [
        (cinder_volume_opts.SHARED_SECTION,
         cinder_volume_opts.VOLUME_OPTS),
        *((context.cfg_section, _privsep_opts()) for context in (
            privileged.target_context, privileged.initiator_context)),
    ]


def _privsep_opts() -> list[cfg.Opt]:
    """Return oslo.privsep's options with the capabilities of ours."""
    opts = list(copy.deepcopy(priv_context.OPTS))
    cfg.set_defaults(opts, capabilities=list(privileged.CAPABILITIES))
    return opts

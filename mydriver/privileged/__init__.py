# SPDX-License-Identifier: Apache-2.0
"""The only code that runs as root.

Two privilege separated daemons, one a side, each with the least capabilities.
Each is started on first use by the service that needs it, by way of
``[mydriver_privsep_target] helper_command`` (cinder-volume) or
``[mydriver_privsep_initiator] helper_command`` (nova-compute); without it,
oslo.privsep's default, ``sudo privsep-helper``, holds.
"""

from oslo_privsep import capabilities as caps

from mydriver.privileged.context import PrivContext

#: What both daemons keep of root's.
CAPABILITIES = (caps.CAP_SYS_ADMIN, caps.CAP_DAC_OVERRIDE)

#: cinder-volume's daemon: configfs and the stores' root-only verbs.
#: CAP_SYS_ADMIN: CHAP attributes (iscsi_target_configfs.c), device-mapper.
#: CAP_DAC_OVERRIDE: backing files belong to the service's user.
target_context = PrivContext(
    'mydriver',
    cfg_section='mydriver_privsep_target',
    pypath=__name__ + '.target_context',
    capabilities=list(CAPABILITIES),
)

#: nova-compute's daemon: open-iscsi's records and SCSI devices in sysfs.
#: CAP_SYS_ADMIN: iscsid's management socket takes root's peers only.
#: CAP_DAC_OVERRIDE: records are 0600.
initiator_context = PrivContext(
    'mydriver',
    cfg_section='mydriver_privsep_initiator',
    pypath=__name__ + '.initiator_context',
    capabilities=list(CAPABILITIES),
)

# SPDX-License-Identifier: Apache-2.0
"""The only code that runs as root.

It runs in two privilege-separated daemons, one for the storage host and one
for the compute host, each with the fewest capabilities. The service that
needs a daemon starts it on first use, through
``[mydriver_privsep_target] helper_command`` (cinder-volume) or
``[mydriver_privsep_initiator] helper_command`` (nova-compute). The default is
oslo.privsep's, ``sudo privsep-helper``.
"""

from oslo_privsep import capabilities as caps

from mydriver.privileged.context import PrivContext

#: The capabilities that the daemon of the compute host keeps.
INITIATOR_CAPABILITIES = (caps.CAP_SYS_ADMIN, caps.CAP_DAC_OVERRIDE)
#: The capabilities that the daemon of the storage host keeps.
TARGET_CAPABILITIES = (*INITIATOR_CAPABILITIES, caps.CAP_NET_ADMIN,
                       caps.CAP_NET_RAW)

#: cinder-volume's daemon: configfs, and the stores' privileged verbs.
#: CAP_SYS_ADMIN: CHAP attributes (iscsi_target_configfs.c), device-mapper.
#: CAP_DAC_OVERRIDE: backing files belong to the service's user.
#: CAP_NET_ADMIN: floating addresses of gateways. CAP_NET_RAW: their ARP.
target_context = PrivContext(
    'mydriver',
    cfg_section='mydriver_privsep_target',
    pypath=__name__ + '.target_context',
    capabilities=list(TARGET_CAPABILITIES),
)

#: nova-compute's daemon: open-iscsi's records and SCSI devices in sysfs.
#: CAP_SYS_ADMIN: iscsid's management socket accepts only root.
#: CAP_DAC_OVERRIDE: records are 0600.
initiator_context = PrivContext(
    'mydriver',
    cfg_section='mydriver_privsep_initiator',
    pypath=__name__ + '.initiator_context',
    capabilities=list(INITIATOR_CAPABILITIES),
)

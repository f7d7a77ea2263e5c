# SPDX-License-Identifier: Apache-2.0
# Payload of a gateway, node "gwN": the kernel's target and its client of Ceph.
# The host starts the gateway's daemon (lab/cloud/node/service).
. "$CLOUD_SHELL/functions.sh"

node_udev
cloud_network
# The daemon's state survives a reboot, as on a real host's disk.
cloud_disk /var/lib/cinder
cloud_keep /var/lib/cinder/system /etc/target
node_lio
cloud_ceph
mkdir -p /var/lib/cinder/lock
mkdir -p -m 700 "$CLOUD_STATE"
install -D -m 640 "$CLOUD_GATEWAY_CONF" "$CLOUD_GATEWAY_ROOTS_CONF"
node_mailbox "$CLOUD_MAILBOX"

#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Second program of a kernel node, inside of its own root: what every node
# needs, then the payload (NODE_INIT), then power off.
. "$NODE_ENV"
. "$NODE_SHELL/functions.sh"
node_base
[ -z "$NODE_INIT" ] || . "$NODE_INIT"
node_poweroff

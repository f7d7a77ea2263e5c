#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Second program of a kernel node, in its own root: do what every node needs,
# run the payload (NODE_INIT), power off.
. "$NODE_ENV"
. "$NODE_SHELL/functions.sh"
node_base
[ -z "$NODE_INIT" ] || . "$NODE_INIT"
node_poweroff

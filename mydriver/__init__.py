# SPDX-License-Identifier: Apache-2.0
"""Block storage for OpenStack over iSCSI, on the Linux kernel target."""

# SPDX-License-Identifier: Apache-2.0
"""Verbs over iSCSI sessions and SCSI devices of the compute host."""

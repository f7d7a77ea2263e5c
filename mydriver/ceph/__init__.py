# SPDX-License-Identifier: Apache-2.0
"""Ceph: connections to a cluster, for the store and for the gateways."""

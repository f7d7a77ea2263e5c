# SPDX-License-Identifier: Apache-2.0
"""Privileged verbs for images of Ceph RBD."""

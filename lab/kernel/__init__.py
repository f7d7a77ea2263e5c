# SPDX-License-Identifier: Apache-2.0
"""Kernel nodes: Linux kernels that run as ordinary processes."""

# SPDX-License-Identifier: Apache-2.0
"""Kernel nodes: a Linux kernel of its own as an ordinary process."""

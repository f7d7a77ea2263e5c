# SPDX-License-Identifier: Apache-2.0
"""Privileged verbs for the kernel target, and their checks."""

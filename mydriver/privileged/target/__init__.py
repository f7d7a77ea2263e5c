# SPDX-License-Identifier: Apache-2.0
"""Verbs over the kernel target, and what they are checked against."""

# SPDX-License-Identifier: Apache-2.0
"""Verbs over the volumes of a thin pool, and their ways into the kernel."""

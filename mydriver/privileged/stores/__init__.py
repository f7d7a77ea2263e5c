# SPDX-License-Identifier: Apache-2.0
"""Privileged verbs over the volumes of a thin pool, and what they need."""

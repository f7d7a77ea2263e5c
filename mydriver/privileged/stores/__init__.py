# SPDX-License-Identifier: Apache-2.0
"""Privileged verbs for the volumes of a thin pool."""

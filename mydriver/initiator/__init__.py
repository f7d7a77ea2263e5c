# SPDX-License-Identifier: Apache-2.0
"""Attach, detach and extend our volumes on a compute host."""

# SPDX-License-Identifier: Apache-2.0
"""Gateways in memory: a simulated lease, and models to search exhaustively."""

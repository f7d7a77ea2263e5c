# SPDX-License-Identifier: Apache-2.0
"""Privileged verbs over the kernel target, and the checks behind them."""

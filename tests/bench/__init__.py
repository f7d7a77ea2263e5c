# SPDX-License-Identifier: Apache-2.0
"""Benchmarks: they print figures, and check bounds where there are any.

Each has a target of its own in the Makefile; ``make test`` runs none of them.
"""

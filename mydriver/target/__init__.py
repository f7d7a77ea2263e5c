# SPDX-License-Identifier: Apache-2.0
"""The exports of a backend on the kernel target, and their mappings."""

# SPDX-License-Identifier: Apache-2.0
"""What a backend exports on the kernel target, and to whom."""

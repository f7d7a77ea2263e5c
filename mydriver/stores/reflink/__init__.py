# SPDX-License-Identifier: Apache-2.0
"""The store of sparse files that share extents."""

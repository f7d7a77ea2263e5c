# SPDX-License-Identifier: Apache-2.0
"""The store of logical volumes in an LVM thin pool."""

# SPDX-License-Identifier: Apache-2.0
"""The compute host: sessions, devices and multipath maps of our volumes."""

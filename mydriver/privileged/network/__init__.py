# SPDX-License-Identifier: Apache-2.0
"""Privileged verbs for the floating addresses of gateways.

They are not in the package of the kernel target: an address has to go at once,
also while a call to the target hangs (see :data:`.channel._IN_TURN`).
"""

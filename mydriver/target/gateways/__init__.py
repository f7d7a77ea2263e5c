# SPDX-License-Identifier: Apache-2.0
"""Several gateways for one backend: who serves a target, and who may not."""

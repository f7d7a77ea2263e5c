# SPDX-License-Identifier: Apache-2.0
"""The kernel nodes: ``storage``, ``compute`` and gateways.

``node`` boots them and runs their services; ``storage.sh``, ``compute.sh``,
``gateway.sh``, ``functions.sh`` and ``service`` run inside of them.
"""

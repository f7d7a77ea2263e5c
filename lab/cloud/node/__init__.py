# SPDX-License-Identifier: Apache-2.0
"""The two kernel nodes, ``storage`` and ``compute``.

``node`` boots them and runs their services; ``storage.sh``, ``compute.sh``,
``functions.sh`` and ``service`` run inside of them.
"""

# SPDX-License-Identifier: Apache-2.0
"""A real kernel and a real OpenStack on one small machine.

``python -m lab --help`` lists the commands. All state is in ``.lab/`` in the
repository's root; nothing else on the machine is written.
"""

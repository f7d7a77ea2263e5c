# SPDX-License-Identifier: Apache-2.0
"""What an operator fears, tried on the cloud: ``python -m lab verify``.

Strangers' exports, wrong connectors, a target that is down, services killed
in the middle of an attach, a storage node that reboots, and secrets in places
where they must not be.
"""

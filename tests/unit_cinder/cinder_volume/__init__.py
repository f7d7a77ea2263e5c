# SPDX-License-Identifier: Apache-2.0
"""Cinder's objects are registered before any of its modules asks for one."""

from cinder import objects

objects.register_all()

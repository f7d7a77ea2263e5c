# SPDX-License-Identifier: Apache-2.0
"""Unit tests that import nova.

They run in processes of their own (``TEST_PATH=tests/unit_nova``): cinder and
nova each register their options with oslo.config's one global object, and some
names of theirs collide.
"""

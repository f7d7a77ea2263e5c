# SPDX-License-Identifier: Apache-2.0
"""Unit tests of the engine, which needs neither cinder nor nova.

They run in an environment that has neither (``.lab/engine``).
"""

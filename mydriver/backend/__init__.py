# SPDX-License-Identifier: Apache-2.0
"""A backend as cinder.conf describes it: options, settings, devices."""

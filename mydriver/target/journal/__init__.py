# SPDX-License-Identifier: Apache-2.0
"""The journal: the desired state of a backend's exports."""

# SPDX-License-Identifier: Apache-2.0
"""What ``mydriver metrics`` exports, and a dashboard and alerts for it."""

# SPDX-License-Identifier: Apache-2.0
"""``mydriver doctor``: checks of a host, each with its remedy."""

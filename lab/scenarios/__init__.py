# SPDX-License-Identifier: Apache-2.0
"""What the lab tries on a cloud, a package for each scenario."""

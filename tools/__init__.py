# SPDX-License-Identifier: Apache-2.0
"""What `make test` and `.ci/run` are made of; not part of the package."""

# SPDX-License-Identifier: Apache-2.0
"""Sphinx configuration of the release notes."""

extensions = ['reno.sphinxext']
project = 'mydriver release notes'
author = 'The mydriver authors'
root_doc = 'index'
html_theme = 'alabaster'
exclude_patterns: list[str] = []

# SPDX-License-Identifier: Apache-2.0
"""Sphinx configuration of the release notes."""

import importlib.metadata

extensions = ['reno.sphinxext']
project = 'mydriver release notes'
author = 'The mydriver authors'
version = release = importlib.metadata.version('mydriver')
root_doc = 'index'
html_theme = 'alabaster'
exclude_patterns: list[str] = []

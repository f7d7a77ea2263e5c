# SPDX-License-Identifier: Apache-2.0
"""How ``up`` works through its steps.

============ ===========================================================
``plan``     run steps in parallel, each as soon as its needs are done
``wait``     wait for a condition, up to a deadline
``registry`` which processes were started, so that exactly those are ended
``report``   the lines that are printed meanwhile
============ ===========================================================
"""

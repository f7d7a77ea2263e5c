# SPDX-License-Identifier: Apache-2.0
"""The control plane: its services, its databases and what is in them.

============== =========================================================
``services``   how each service is started
``database``   make the databases
``seed``       fill them through the APIs
``seed_cache`` keep a copy of seeded databases for the next ``up``
``rest``       a small client for the APIs
============== =========================================================
"""

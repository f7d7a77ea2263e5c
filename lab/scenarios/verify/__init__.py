# SPDX-License-Identifier: Apache-2.0
"""Try on the cloud what operators fear: ``make verify``.

============= ==========================================================
``story``     the steps
``bench``     what they share: a server, volumes, observers
``stranger``  an export made by hand, which must stay unchanged
``refusals``  wrong connectors, targets that are off
``secrets``   a search for CHAP secrets
``crashes``   services killed in an attach, a reboot
``look``      deeper looks into the nodes; ``inside`` runs there
============= ==========================================================
"""

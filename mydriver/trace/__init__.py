# SPDX-License-Identifier: Apache-2.0
"""Follow one attach or detach through the logs of all services.

The logs are read twice, as streams: :mod:`.search` finds the requests that
concern a server or a volume, then collects the lines of one of them.
:mod:`.finder` turns lines into steps, :mod:`.cause`, :mod:`.clocks` and
:mod:`.coverage` judge them, and two modules write the result down.
"""

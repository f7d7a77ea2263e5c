# SPDX-License-Identifier: Apache-2.0
"""What every scenario needs: run steps, use the APIs, observe both nodes.

============ ===========================================================
``runner``   brings the cloud up, runs a scenario's steps, ends the cloud
``report``   one line for each step, totals, the result as JSON
``expect``   compare what was seen with what must be
``clients``  the public APIs: ask, and wait until it is done
``console``  read a guest's console
``observe``  what the target and the compute host have
``writer``   a guest's reports about its writes, and its records
``probe``    runs in a node and reads its kernel, without the driver's code
============ ===========================================================
"""

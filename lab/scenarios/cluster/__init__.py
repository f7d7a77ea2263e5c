# SPDX-License-Identifier: Apache-2.0
"""A cluster of cinder-volume services, of which one after the other is killed.

Operations of every kind go through the API of Cinder meanwhile. One fails only
if the service that carried it out was killed, by the logs; and nothing may be
left over in the end.
"""

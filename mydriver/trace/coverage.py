# SPDX-License-Identifier: Apache-2.0
"""What cannot be seen, because logs or lines are missing."""

from collections.abc import Collection, Sequence

from mydriver.trace import record, search, steps

#: The services that take part, and what only their logs show.
_SHOWN = {
    'nova-api': 'when the request came, and what was answered',
    'nova-compute': 'the compute host: reserve_block_device_name, '
    'get_volume_connector, connect_volume, attach_device',
    'cinder-api': 'the attachment calls, and what was answered',
    'cinder-volume': 'the storage host: create_export, '
    'initialize_connection, terminate_connection',
}
#: Operations of an attach and of a detach that have lines of their own, and
#: where they are looked for.
_EXPECTED = {
    search.ATTACH: (
        ('nova-compute', 'reserve_block_device_name', steps.SERVICE),
        ('nova-compute', 'get_volume_connector', steps.OPERATION),
        ('cinder-volume', 'create_export', steps.OPERATION),
        ('cinder-volume', 'initialize_connection', steps.OPERATION),
        ('nova-compute', 'connect_volume', steps.OPERATION),
        ('nova-compute', 'attach_device', steps.PHASE)),
    search.DETACH: (
        ('nova-compute', 'detach_device', steps.PHASE),
        ('nova-compute', 'disconnect_volume', steps.OPERATION),
        ('cinder-volume', 'terminate_connection', steps.OPERATION)),
}
_EXPECTED[search.BOOT] = _EXPECTED[search.ATTACH][1:5]


def missing(kind: str, read: Collection[record.Source],
            records: Sequence[record.Record],
            found: Sequence[steps.Step], failed: bool) -> list[str]:
    """Return sentences about what cannot be seen, and why.

    :param kind: what the request does.
    :param read: the logs that were read.
    :param records: those of the request.
    :param found: its steps.
    :param failed: it ended early, so later steps are not missed.
    """
    said: list[str] = []
    there = {s.service for s in read}
    lines = {r.source.service for r in records}
    for service, shows in _SHOWN.items():
        if service not in there:
            said.append(f'The log of {service} was not read: it shows '
                        f'{shows}.')
        elif service not in lines and kind != search.OTHER:
            said.append(f'The log of {service} has no line of this request: '
                        'it may be older than the log, or on another host.')
    names = {s.name for s in found}
    unseen = [name for service, name, _ in _EXPECTED.get(kind, ())
              if service in lines and name not in names]
    if unseen and not failed:
        said.append(
            f'No line shows {", ".join(unseen)}. The driver and the plugin of '
            'this release write events of their operations; what Nova does '
            'itself is logged with "debug = true".')
    return said

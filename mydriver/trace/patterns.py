# SPDX-License-Identifier: Apache-2.0
"""The lines that prove steps, as Nova, Cinder, os-brick and we write them.

=====================================  =====================================
Line                                   What it proves
=====================================  =====================================
``mydriver event: {...}``              operation or phase of driver or plugin
``"POST /v2.1/..." ... time: 0.3``     nova's API request, at its end
``POST http://.../attachments`` and    cinder's API request
``... returned with HTTP 200``
``Lock "..." acquired by "F"`` and     F runs, in nova-compute the request
``Lock "..." "released" by "F"``       itself (reserve_block_device_name, ...)
``Exported volume ... in 12.3 ms``     operations of drivers without events
``Attached volume ... in 0.123 s``
``Took 8.97 seconds to spawn``         a part of nova-compute's boot
``==> F: call`` and ``<== F: return``  F of os-brick, at DEBUG
``Running privsep helper``             the start of a privileged daemon
``CMD "..." returned: 0 in 0.6s``      a command, at DEBUG
``attachment_update completed``        cinder-volume's part of it
=====================================  =====================================
"""

import re

from mydriver.trace import record
from mydriver.trace.steps import FAILED, OK, OPERATION, SERVICE

NOVA_API = re.compile(
    r'"(\w+) (/\S*)" status: (\d+) .*time: ([0-9.]{1,20})')
CINDER_BEGIN = re.compile(r'(GET|POST|PUT|DELETE|PATCH) (https?://\S+)$')
CINDER_END = re.compile(r'(https?://\S+) returned with HTTP (\d+)')
ACQUIRED = re.compile(
    r'Lock "(.+)" "?acquired"? by "(.+)" :: waited ([0-9.]{1,20})s')
RELEASED = re.compile(
    r'Lock "(.+)" "?released"? by "(.+)" :: held ([0-9.]{1,20})s')
TIMED = re.compile(r'(Exported|Withdrew|Mapped|Unmapped|Attached|Detached) '
                    r'volume \S+.* in ([0-9.]{1,20}) (ms|s)$')
OPERATIONS = {
    'Exported': 'create_export', 'Withdrew': 'remove_export',
    'Mapped': 'initialize_connection', 'Unmapped': 'terminate_connection',
    'Attached': 'connect_volume', 'Detached': 'disconnect_volume'}
#: What Nova itself times.
TOOK = re.compile(r'Took ([0-9.]{1,20}) seconds to (\w+) (?:the )?instance')
#: Functions of os-brick that are the whole of a method of Nova's.
CALLED_BY = {'get_connector_properties': 'get_volume_connector'}
#: A command that a service has run; all but its name may be secret.
COMMAND = re.compile(
    r'CMD "([\w./-]{1,40})[ "].* returned: \d+ in ([0-9.]{1,20})s')
COMMAND_MIN_S = 0.05
#: The first use of a privileged daemon starts it.
DAEMON = re.compile(
    r"^Running privsep helper: .*'--privsep_context', '([\w.]{1,80})'")
SPAWNED = re.compile(r'Spawned new privsep daemon')
#: Pairs of lines without a duration: beginning, end, step.
PAIRS = (
    (re.compile(r'Calling os-brick to attach iSCSI Volume'),
     re.compile(r'Attached iSCSI volume'), 'connect_volume'),
    (re.compile(r'calling os-brick to detach iSCSI Volume'),
     re.compile(r'Disconnected iSCSI Volume'), 'disconnect_volume'),
    (re.compile(r'.*Attempting to driver detach volume '),
     re.compile(r'Successfully detached device .* from the live domain'),
     'detach_device'),
    (re.compile(r'_post_live_migration\(\) is started'),
     re.compile(r'Migrating instance to \S+ finished successfully'),
     'post_live_migration'),
    (re.compile(r'(?:\[instance: \S+\] )?(?:Rebuilding|Evacuating) instance$'),
     re.compile(r'Instance spawned successfully'), 'rebuild instance'),
    (re.compile(r'(?:\[instance: \S+\] )?Unshelving$'),
     re.compile(r'Instance spawned successfully'), 'unshelve instance'),
)
#: Those of them that end in every case, unless the operation fails. A device
#: need not be in a live domain.
ENDING = ('connect_volume', 'disconnect_volume')
#: Begins nova's attach_device; the next line of the request shows its end.
DEVICE = re.compile(r'attach device xml: ')
#: Ends of methods of cinder's manager, which begin with the first line that
#: the service has of the request.
MANAGER_ENDS = (
    (re.compile(r'attachment_update completed successfully'),
     'attachment_update'),
    (re.compile(r'Terminate volume connection completed successfully'),
     'terminate_connection (manager)'),
)
FUNCTION = re.compile(r'([\w<>]+)\.<locals>\.\w+$')


def api_name(method: str, url: str) -> str:
    """Return what an API request is called in the code that sends it."""
    path = re.sub(r'^https?://[^/]+', '', url).partition('?')[0]
    path = re.sub(r'^(?:/[\w-]+)?/v[23](?:\.\d+)?(?:/[0-9a-f]{32})?', '',
                  path)
    path = record.UUID.sub('*', path).rstrip('/')
    return _API.get((method, path), f'{method} {path or "/"}')


_API = {
    ('POST', '/servers/*/os-volume_attachments'): 'attach request',
    ('DELETE', '/servers/*/os-volume_attachments/*'): 'detach request',
    ('POST', '/servers'): 'boot request',
    ('DELETE', '/servers/*'): 'delete request',
    ('POST', '/attachments'): 'attachment_create',
    ('PUT', '/attachments/*'): 'attachment_update',
    ('DELETE', '/attachments/*'): 'attachment_delete',
    ('POST', '/attachments/*/action'): 'attachment_complete',
    ('GET', '/volumes/*'): 'get volume',
    ('GET', '/attachments/*'): 'get attachment',
    ('POST', '/volumes/*/action'): 'volume action',
}


def of_status(status: str) -> dict[str, str]:
    """Return outcome and error of an HTTP status."""
    if int(status) < 400:
        return {'outcome': OK}
    return {'outcome': FAILED, 'error': f'HTTP {status}'}


def function(name: str) -> str:
    """Return the method in a function's qualified name."""
    matched = FUNCTION.search(name)
    found = matched[1] if matched else name.rpartition('.')[2]
    # Nova's driver has methods of the same names.
    return (f'{found} (manager)'
            if matched and found in ('attach_volume', 'detach_volume')
            else found)


def is_method(one: record.Record, function: str) -> bool:
    """Tell whether a lock is held while a method of interest runs."""
    return ('.<locals>.do_' in function
            or one.logger.startswith('cinder.coordination'))


def kind(function: str) -> int:
    """Return the kind of step that a function under a lock is."""
    return SERVICE if '<locals>' in function else OPERATION


def number(text: str) -> float:
    """Return a number; 0 for what only looks like one."""
    try:
        return float(text)
    except ValueError:
        return 0.0

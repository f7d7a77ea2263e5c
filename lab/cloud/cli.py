# SPDX-License-Identifier: Apache-2.0
"""``python -m lab cloud``."""

import argparse
from collections.abc import Callable
import shlex
import sys

from lab.arguments import Subparsers
from lab.cloud import (
    api,
    down,
    logs,
    network,
    prerequisites,
    settings,
    status,
    up,
)

_Command = Callable[[argparse.Namespace], int]

#: Methods of :class:`api.Cloud` that take a node.
_ACTIONS = {
    'reboot': 'power-cycle a node; it keeps its disks, and its services start '
              'again',
    'kill': 'cut a node\'s power; "boot" starts it again',
    'boot': 'boot a node that is off; it keeps its disks, and its services '
            'start',
    'join': 'connect a node again that was cut off',
    'stall': "stop a node's kernel, as a hypervisor would",
    'resume': 'let a node run on that was stalled',
}


def register(subparsers: Subparsers) -> None:
    """Add the commands to ``python -m lab``."""
    cloud = subparsers.add_parser(
        'cloud', help='a real OpenStack on this machine',
        description='A real OpenStack in a network namespace of its own, '
        'with a storage and a compute node. All state is in .lab/cloud.')
    commands = cloud.add_subparsers(required=True, metavar='COMMAND')
    _register_up(commands)
    for name, func, text in (
            ('down', _down, 'stop everything that "up" started'),
            ('status', _status, ('show processes, nodes and services; the '
             'exit status is 0 if all of them are up')),
            ('openrc', _openrc, ('print the admin user\'s variables, for '
             'eval "$(python -m lab cloud openrc)"'))):
        commands.add_parser(name, help=text, description=text).set_defaults(
            func=_as_root(func))
    run = commands.add_parser(
        'exec', help='run a command on a node',
        description='Runs a command on a node as root and passes its output '
        'and exit status through. Waits for the node to boot.')
    run.add_argument('node', choices=settings.ALL_NODES)
    run.add_argument('--timeout', type=int, default=3600, metavar='S',
                     help='seconds after which the command is stopped '
                     '(default: %(default)s)')
    run.add_argument('argv', nargs='+', metavar='CMD')
    run.set_defaults(func=_as_root(_exec))
    shell = commands.add_parser(
        'shell', help='run a command, or a shell, that can reach the APIs',
        description='Runs a command in the cloud\'s network namespace with '
        'the admin user\'s variables, for example: openstack volume list')
    shell.add_argument('argv', nargs=argparse.REMAINDER, metavar='CMD')
    shell.set_defaults(func=_as_root(_shell))
    for name, text in _ACTIONS.items():
        node = commands.add_parser(name, help=text, description=text)
        node.add_argument('node', choices=settings.ALL_NODES)
        node.set_defaults(func=_as_root(_on_node), action=name)
    text = 'cut a node off the network: what it sends and gets is lost'
    cut = commands.add_parser('cut', help=text, description=text)
    cut.add_argument('node', choices=settings.ALL_NODES)
    where = cut.add_mutually_exclusive_group()
    where.add_argument(
        '--ceph', action='store_const', dest='where', const=network.CEPH,
        default=network.ALL, help="off Ceph's network alone")
    where.add_argument(
        '--clients', action='store_const', dest='where',
        const=network.CLIENTS, help="off all but Ceph's network")
    cut.set_defaults(func=_as_root(_cut))
    text = ('start, stop, kill (SIGKILL) or restart the OpenStack service of '
            'a node')
    service = commands.add_parser('service', help=text, description=text)
    service.add_argument('node', choices=settings.ALL_NODES)
    service.add_argument('action', choices=(
        'start', 'stop', 'kill', 'restart'))
    service.set_defaults(func=_as_root(_service))
    log = commands.add_parser(
        'logs', help='list the logs, or show the end of one')
    log.add_argument('service', nargs='?')
    log.add_argument('-n', '--lines', type=int, default=40, metavar='N')
    log.add_argument('-f', '--follow', action='store_true')
    log.set_defaults(func=_as_root(_logs))


def _register_up(commands: Subparsers) -> None:
    default = settings.Options()
    parser = commands.add_parser(
        'up', help='bring the cloud up', description='Brings the cloud up. '
        'Needs root for a network namespace with taps, and for nodes that '
        'read the machine\'s own /usr. The first run creates the databases '
        'and keeps a copy; later runs start from that.')
    parser.add_argument(
        '--compute-driver', default=default.compute_driver, metavar='NAME',
        help='of nova-compute; libvirt.LibvirtDriver is stock Nova '
        '(default: %(default)s)')
    parser.add_argument(
        '--volume-driver', default=','.join(default.backends),
        metavar='NAME[,NAME]', type=_backends, dest='backends',
        help='mydriver, or a baseline: lvm (the in-tree driver with LIO), rbd '
        '(the in-tree driver for Ceph); the first is the default volume type '
        '(default: %(default)s)')
    parser.add_argument(
        '--full', action='store_true', help='add a second backend of our '
        'driver and cinder-backup, as "python -m lab tempest" does')
    parser.add_argument(
        '--portals', type=int, choices=(1, 2), default=default.portals,
        help='number of addresses of the target; 2 turns multipath on')
    parser.add_argument(
        '--store', choices=settings.STORES, default=default.store,
        help="where our driver's backend keeps volumes: files on XFS, an "
        'LVM thin pool on a second disk, or a pool of a Ceph that is brought '
        'up, too (default: %(default)s)')
    parser.add_argument(
        '--native', choices=settings.NATIVE, default=default.native,
        help='on rbd, the hosts that reach volumes without the target: those '
        'with our plugin, all, or none (default: %(default)s)')
    parser.add_argument(
        '--gateways', type=int, choices=range(len(settings.GATEWAYS) + 1),
        default=default.gateways, metavar='N', help='on rbd, number of nodes '
        'gw1, gw2, ... that serve the targets; with 0 node storage does '
        '(default: %(default)s)')
    parser.add_argument(
        '--volumes', type=int, choices=range(1, len(settings.VOLUMES) + 2),
        default=default.volumes, metavar='N', help='with gateways, number of '
        'nodes storage, storage2, ... with cinder-volume; several are a '
        'cluster (default: %(default)s)')
    parser.add_argument(
        '--cinder-mode', choices=settings.CINDER_MODES,
        default=default.cinder_mode, help="cinder-volume's threads: "
        "eventlet's, or native ones (default: %(default)s)")
    parser.add_argument(
        '--storage-gib', type=int, default=default.storage_gib, metavar='N',
        help="size of each of the storage node's disks, and of Ceph's "
        '(default: %(default)s)')
    parser.add_argument(
        '--images', choices=settings.IMAGE_PLACES, default=default.images,
        help='where glance keeps images: in files, with the other APIs or on '
        'the storage node next to the volumes, or in Ceph (default: '
        '%(default)s)')
    parser.add_argument(
        '--debug-all', action=argparse.BooleanOptionalAction,
        default=default.debug_all,
        help='log at DEBUG in every service, or only in cinder-volume and '
        'nova-compute')
    parser.set_defaults(func=_as_root(_up))


def _as_root(func: _Command) -> _Command:
    """Return a command that first checks that it runs as root."""
    def run(args: argparse.Namespace) -> int:
        prerequisites.check_root()
        return func(args)
    return run


def _backends(text: str) -> tuple[str, ...]:
    """Parse ``NAME[,NAME]``."""
    names = tuple(text.split(','))
    unknown = set(names) - set(settings.BACKENDS)
    if unknown or len(set(names)) < len(names):
        raise argparse.ArgumentTypeError(
            f'{text!r}: each may be given once, choose from '
            + ', '.join(settings.BACKENDS))
    return names


def _up(args: argparse.Namespace) -> int:
    options = settings.Options(
        compute_driver=args.compute_driver, backends=args.backends,
        portals=args.portals, store=args.store, native=args.native,
        gateways=args.gateways, volumes=args.volumes,
        cinder_mode=args.cinder_mode, storage_gib=args.storage_gib,
        images=args.images, debug_all=args.debug_all)
    up.up(options.full() if args.full else options, settings.Layout())
    return 0


def _down(args: argparse.Namespace) -> int:
    del args
    down.down(settings.Layout())
    return 0


def _status(args: argparse.Namespace) -> int:
    del args
    return status.show(settings.Layout())


def _openrc(args: argparse.Namespace) -> int:
    del args
    environment = api.Cloud().environment()
    print('# The APIs can be reached only from within the namespace:')
    print(f'#   ip netns exec {settings.NAMESPACE} openstack volume list')
    for name, value in environment.items():
        print(f'export {name}={shlex.quote(value)}')
    return 0


def _exec(args: argparse.Namespace) -> int:
    sys.stdout.flush()
    return api.Cloud().node_stream(
        args.node, args.argv, sys.stdout.buffer, sys.stderr.buffer,
        timeout_s=args.timeout)


def _shell(args: argparse.Namespace) -> int:
    # All that follows is the command, except a leading "--" as for exec.
    return api.Cloud().shell(args.argv[args.argv[:1] == ['--']:])


def _on_node(args: argparse.Namespace) -> int:
    getattr(api.Cloud(), args.action)(args.node)
    return 0


def _cut(args: argparse.Namespace) -> int:
    api.Cloud().cut(args.node, args.where)
    return 0


def _service(args: argparse.Namespace) -> int:
    cloud = api.Cloud()
    cloud.node_service(args.node, args.action)
    if (args.action in ('start', 'restart')
            and args.node not in settings.GATEWAYS):
        cloud.wait_service(args.node)
    return 0


def _logs(args: argparse.Namespace) -> int:
    return logs.show(settings.Layout(), args.service, args.lines, args.follow)

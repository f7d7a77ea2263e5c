# SPDX-License-Identifier: Apache-2.0
"""``python -m lab demo``."""

import argparse

from lab import arguments, paths
from lab.cloud import settings

#: The result of the last demo.
RESULT = paths.STATE / 'demo.json'


def register(subparsers: arguments.Subparsers) -> None:
    """Add the command to ``python -m lab``."""
    demo = subparsers.add_parser(
        'demo', help='attach a volume to servers in a real OpenStack',
        description='Brings the cloud up, attaches a volume to servers '
        'through the public APIs, proves it by what the guests, the target '
        'and the compute host show, checks that nothing is left, and stops '
        'the cloud. A cloud that is already up is used, and is left up. Exit '
        'status 0 only if every step passed.')
    demo.add_argument('--compute-driver', metavar='NAME',
                      help='of nova-compute; libvirt.LibvirtDriver is stock '
                      'Nova (default: mydriver.LibvirtDriver)')
    demo.add_argument('--portals', type=int, choices=(1, 2),
                      help='number of addresses of the target; 2 turns '
                      'multipath on (default: 1)')
    arguments.add_store(demo, settings.STORES)
    demo.add_argument('--native', choices=settings.NATIVE,
                      help='on rbd, the hosts that reach volumes without the '
                      'target: those with our plugin, all, or none (default: '
                      'never)')
    demo.add_argument('--gateways', type=int, metavar='N',
                      choices=range(len(settings.GATEWAYS) + 1),
                      help='on rbd, number of gateways that serve the targets '
                      '(default: 0, the storage node does)')
    demo.add_argument('--volumes', type=int, metavar='N',
                      choices=range(1, len(settings.VOLUMES) + 2),
                      help='with gateways, number of cinder-volume services, '
                      'which are a cluster (default: 1)')
    demo.add_argument('--cinder-mode', choices=settings.CINDER_MODES,
                      help="cinder-volume's threads: eventlet's, or native "
                      'ones (default: green)')
    demo.add_argument('--images', choices=settings.IMAGE_PLACES,
                      help='where glance keeps images: in files, with the '
                      'other APIs or next to the volumes, or in Ceph '
                      '(default: control)')
    arguments.add_keep(demo)
    demo.set_defaults(func=_demo)


def _demo(args: argparse.Namespace) -> int:
    # Late: the SDK takes a while to import, and other commands do without.
    from lab.scenario import runner
    from lab.scenarios.demo import story
    return runner.command('Demo', RESULT, {
        'compute_driver': args.compute_driver, 'portals': args.portals,
        'store': args.store, 'cinder_mode': args.cinder_mode,
        'images': args.images, 'native': args.native,
        'gateways': args.gateways, 'volumes': args.volumes}, args.keep,
        story.Story)

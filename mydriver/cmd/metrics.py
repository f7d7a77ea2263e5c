# SPDX-License-Identifier: Apache-2.0
"""``mydriver metrics``: figures for Prometheus.

What needs the library of Prometheus is imported by the command that uses it:
``mydriver restore`` runs at boot, also where the library is missing.
"""

import argparse
import importlib.resources
import os
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

from cliff import command

from mydriver import exception
from mydriver.cmd import arguments, extras, monitoring

if TYPE_CHECKING:
    from mydriver.cmd.monitoring import collector, operations

#: In the state directory of the first backend.
_EVENTS_STATE = 'events.json'


class Metrics(command.Command):
    """Print metrics of the backends in the format of Prometheus.

    Room, exports, mappings, sessions, what the exports do, and what differs
    between journal and kernel. With --events or --events-unit also how many
    operations of the driver or the plugin have succeeded and failed, and how
    long they took. A part of a backend that cannot be read is logged, and its
    metrics are absent; the others are there all the same, and unless --listen
    is given, the exit status is 1.
    """

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """Return the argument parser."""
        parser: argparse.ArgumentParser = super().get_parser(prog_name)
        to = parser.add_mutually_exclusive_group()
        to.add_argument(
            '--textfile', metavar='PATH', help='replace this file, for the '
            "textfile collector of Prometheus's node exporter")
        to.add_argument(
            '--listen', metavar='ADDRESS:PORT', help='serve them over HTTP '
            'at a loopback address until the command is stopped')
        to.add_argument(
            '--dashboard', action='store_true',
            help='print a dashboard for Grafana instead')
        to.add_argument(
            '--rules', action='store_true',
            help='print alerting rules for Prometheus instead')
        parser.add_argument(
            '--listen-anywhere', action='store_true', help='accept another '
            'address than a loopback address after --listen; whoever reaches '
            'it can read the metrics')
        parser.add_argument(
            '--events', action='append', default=[], metavar='FILE',
            type=os.path.abspath, help='log of cinder-volume or nova-compute '
            'to count operations in, from its present end on and across its '
            'rotation; can be repeated')
        parser.add_argument(
            '--events-unit', action='append', default=[], metavar='UNIT',
            help="the same for a unit of systemd that logs to systemd's "
            'journal')
        parser.add_argument(
            '--events-state', metavar='FILE', type=os.path.abspath,
            help='where to keep what was counted and how far the logs were '
            f'read; default: {_EVENTS_STATE} in the state directory of the '
            'first backend')
        parser.add_argument(
            '--events-only', action='store_true', help='read no '
            'configuration and no backends, as on a compute host')
        arguments.add(parser)
        return parser

    def run(self, parsed_args: argparse.Namespace) -> int:
        """Export; return the exit status."""
        try:
            return int(super().run(parsed_args))
        except extras.NotInstalled as e:
            print(e, file=self.app.stderr)
            return 2

    def take_action(self, parsed_args: argparse.Namespace) -> int:
        """Export the metrics, or print a file; return the exit status."""
        stdout = self.app.stdout
        for wanted, name in ((parsed_args.dashboard, 'dashboard.json'),
                             (parsed_args.rules, 'alerts.yaml')):
            if wanted:
                stdout.write(text_of(name))
                return 0
        try:
            return _export(parsed_args, stdout)
        except ModuleNotFoundError as e:
            needs = (extras.needs_either if parsed_args.events_only
                     else extras.needs_storage)
            raise needs('metrics', e) from e


def _export(parsed: argparse.Namespace, stdout: TextIO) -> int:
    """Export the metrics; return the exit status."""
    import prometheus_client

    from mydriver.cmd.monitoring import collector, serving
    at = serving.address(parsed.listen, anywhere=parsed.listen_anywhere
                         ) if parsed.listen else None
    its = collector.Collector(_sources(parsed),
                              is_storage=not parsed.events_only)
    registry = prometheus_client.CollectorRegistry()
    registry.register(its)
    if at:
        with serving.server(at, registry) as server:
            try:
                server.serve_forever()
            except KeyboardInterrupt:
                return 0
    if parsed.textfile:
        serving.write(parsed.textfile, registry)
    else:
        stdout.write(prometheus_client.generate_latest(registry).decode())
    return int(bool(its.errors))


def _sources(parsed: argparse.Namespace) -> 'list[collector.Source]':
    """Return what to read.

    :raises ConfigurationError: when something is wrong or missing.
    """
    found: list[collector.Source] = []
    logs, path = _logs(parsed), parsed.events_state
    if not parsed.events_only:
        # Compute hosts lack what this imports.
        from mydriver.cmd.monitoring import backend
        ours = arguments.open_backends(parsed, verbs=True)
        found += map(backend.BackendSource, ours)
        if logs and not path:
            path = os.path.join(ours[0].state_path, _EVENTS_STATE)
    elif not (logs and path):
        raise exception.ConfigurationError(
            '--events-only', 'there are no backends, so nothing is known of '
            'logs, and of a place for what was counted',
            'Add --events or --events-unit, and --events-state.')
    if path in parsed.events:
        raise exception.ConfigurationError(
            '--events-state', f'{path} is one of the logs',
            'Name another file, which this command makes.')
    if logs:
        from mydriver.cmd.monitoring import kept, operations
        found.append(operations.OperationsSource(logs, kept.Kept(Path(path))))
    return found


def _logs(parsed: argparse.Namespace) -> 'list[operations.Log]':
    """Return the logs that are named."""
    from mydriver.cmd.monitoring import operations
    return [*map(operations.FileLog, dict.fromkeys(parsed.events)),
            *map(operations.UnitLog, dict.fromkeys(parsed.events_unit))]


def text_of(name: str) -> str:
    """Return a file of the package."""
    return importlib.resources.files(monitoring).joinpath(name).read_text()

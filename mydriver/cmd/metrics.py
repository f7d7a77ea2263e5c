# SPDX-License-Identifier: Apache-2.0
"""``mydriver metrics``: figures for Prometheus.

What needs the library of Prometheus is imported by the command that uses it:
``mydriver restore`` runs at boot, also where the library is missing.
"""

import argparse
import importlib.resources
from typing import TextIO

from cliff import command

from mydriver.cmd import arguments, monitoring


class Metrics(command.Command):
    """Print metrics of the backends in the format of Prometheus.

    Room, exports, mappings, sessions, what the exports do, and what differs
    between journal and kernel. Changes nothing. A part of a backend that
    cannot be read is logged, and its metrics are absent; the others are there
    all the same, and unless --listen is given, the exit status is 1.
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
        arguments.add(parser)
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> int:
        """Export the metrics, or print a file; return the exit status."""
        stdout = self.app.stdout
        for wanted, name in ((parsed_args.dashboard, 'dashboard.json'),
                             (parsed_args.rules, 'alerts.yaml')):
            if wanted:
                stdout.write(text_of(name))
                return 0
        return _export(parsed_args, stdout)


def _export(parsed: argparse.Namespace, stdout: TextIO) -> int:
    """Export the metrics; return the exit status."""
    import prometheus_client

    from mydriver.cmd.monitoring import collector, serving
    at = serving.address(parsed.listen, anywhere=parsed.listen_anywhere
                         ) if parsed.listen else None
    its = collector.Collector([
        collector.BackendSource(b)
        for b in arguments.open_backends(parsed, verbs=True)])
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


def text_of(name: str) -> str:
    """Return a file of the package."""
    return importlib.resources.files(monitoring).joinpath(name).read_text()

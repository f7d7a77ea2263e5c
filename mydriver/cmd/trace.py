# SPDX-License-Identifier: Apache-2.0
"""``mydriver trace``: follow one attach or detach through all logs."""

import argparse
import contextlib
import json
import os
from pathlib import Path
import shutil
import sys

from cliff import command
from cliff.formatters import yaml_format

from mydriver import exception
from mydriver.cmd import replacing
from mydriver.trace import (
    files,
    logs,
    record,
    render_html,
    render_text,
    search,
    steps,
    trace,
)

#: Exit status when the traced request failed, as against 1 when nothing
#: could be traced.
FAILED = 3
#: The same when the logs do not show its end.
UNFINISHED = 4

_STATUSES = {steps.OK: 0, steps.FAILED: FAILED, steps.UNFINISHED: UNFINISHED}


class Trace(command.Command):
    """Follow one attach, detach or boot from volume through all logs.

    Prints a timeline of its steps in nova-api, nova-compute, cinder-api,
    cinder-volume, the driver and the plugin, where the time went, and, if it
    failed, the first cause. Of several requests for a server or volume, the
    last one is shown and the others are listed. The exit status is 0 if the
    request succeeded, 3 if it failed, 4 if the logs do not show its end, and
    1 if they have no such request.
    """

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """Return the argument parser."""
        parser: argparse.ArgumentParser = super().get_parser(prog_name)
        parser.add_argument(
            'subject', metavar='REQUEST_ID|SERVER|VOLUME',
            help='request id (req-...) as in a log or an API\'s answer, or '
            'UUID of a server or volume')
        parser.add_argument(
            '--log', action='append', default=[], metavar='FILE|DIR|-',
            help='log file, also rotated or compressed (gzip, xz, bzip2), or '
            'directory with such; or a journal, "journalctl -o export" or '
            '"-o json", in a file or from standard input ("-"); can be '
            'repeated; default: '
            + ', '.join(files.DEFAULT))
        parser.add_argument(
            '--kind', choices=(search.ATTACH, search.DETACH, search.BOOT),
            help='what the request has to do; default: any of them')
        parser.add_argument(
            '-f', '--format', choices=('text', 'json', 'yaml'),
            default='text', help='format of the output (default: text)')
        parser.add_argument(
            '--list', action='store_true', dest='only_list',
            help='only list the requests for the server or volume')
        parser.add_argument(
            '--html', metavar='FILE',
            help='also write one self-contained page with a waterfall')
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> int:
        """Trace and print; return the exit status."""
        stdin = sys.stdin.buffer if logs.STDIN in parsed_args.log else None
        its_logs = logs.Logs(parsed_args.log or [
            p for p in files.DEFAULT if os.path.exists(p)] or files.DEFAULT,
            stdin)
        with contextlib.closing(its_logs):
            if parsed_args.only_list:
                return self._list(its_logs, parsed_args)
            found = trace.of(its_logs, parsed_args.subject,
                             parsed_args.kind or '')
        if parsed_args.html:
            write_page(found, Path(parsed_args.html))
        self._print(found.to_dict() if parsed_args.format != 'text'
                    else render_text.render(found, _width()),
                    parsed_args.format)
        return _STATUSES[found.outcome]

    def _list(self, its_logs: logs.Logs, parsed: argparse.Namespace) -> int:
        known = [f for f in search.flows(its_logs.records(
            [search.check(parsed.subject)]))
            if f.kind == parsed.kind
            or (not parsed.kind and f.kind != search.OTHER)]
        if not known:
            what = f'{parsed.kind or "attach, detach or boot"} of '
            self.app.stderr.write('; '.join((
                f'The logs have no {what}{search.check(parsed.subject)}',
                *map(str, its_logs.problems))) + '.\n')
        if parsed.format == 'text':
            self._print(''.join(
                f'{record.clock(f.first)} {f.kind:6} {f.key}\n'
                for f in known), 'text')
        else:
            self._print([trace.other(f) for f in known], parsed.format)
        return 0 if known else 1

    def _print(self, found: object, form: str) -> None:
        out, yaml = self.app.stdout, yaml_format.YAMLFormatter()
        if form == 'json':
            out.write(json.dumps(found, indent=2) + '\n')
        elif isinstance(found, dict):
            yaml.emit_one(list(found), list(found.values()), out, None)
        elif isinstance(found, list):
            yaml.emit_list(list(found[0]) if found else [],
                           [list(one.values()) for one in found], out, None)
        else:
            out.write(found)


def write_page(found: trace.Trace, path: Path) -> None:
    """Write the page of a trace; an existing file is replaced at once.

    :raises ConfigurationError: if it cannot be written.
    """
    try:
        replacing.write(path, render_html.render(found))
    except OSError as e:
        raise exception.ConfigurationError(
            '--html', f'{path} cannot be written: {e.strerror}',
            'Name a file in a directory that you may write to.') from e


def _width() -> int:
    return max(shutil.get_terminal_size((120, 24)).columns, 60)

# SPDX-License-Identifier: Apache-2.0
"""``mydriver doctor``: what is wrong with this host, and what mends it."""

import argparse
from collections import Counter
from collections.abc import Sequence
import os
from pathlib import Path
import textwrap

from cliff import lister
from oslo_log import log as logging

from mydriver import exception
from mydriver.cmd import doctor_config, doctor_exports, tables
from mydriver.doctor import examine, findings, kinds, registry
from mydriver.doctor.findings import Finding, Severity
from mydriver.hostfiles import choices

LOG = logging.getLogger(__name__)

#: The host's root directory; tests use their own.
ROOT = Path('/')

#: All checks, by their names.
CHECKS = {check.id: check
          for check in (*registry.CHECKS, *doctor_config.CHECKS,
                        *doctor_exports.CHECKS)}

COLUMNS = ('Severity', 'Check', 'What')
ALL_COLUMNS = ('Kind', 'Check', 'Severity', 'What', 'Why', 'Remedy',
               'Fixable')

#: Exit status when nothing could be checked.
_UNKNOWN = 3

#: The table is to fit a terminal of 80 columns.
_WHAT_CHARACTERS = 40

Row = tuple[str | bool, ...]


class Doctor(lister.Lister):
    """Check this host, and say how to mend what is wrong.

    Looks at the host, at the configuration of the service and at what
    mydriver status checks. Changes nothing without --fix. Shows what is not
    as it should be; with another format than the table, with all fields.

    The exit status is that of a Nagios plugin: 0 when all is well, 1 for
    warnings, 2 when something does not work, 3 when something could not be
    checked. Run it as root. The output contains no secrets.
    """

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """Return the argument parser."""
        parser: argparse.ArgumentParser = super().get_parser(prog_name)
        parser.add_argument(
            'kind', nargs='?', choices=choices.KINDS,
            help='storage: this host runs cinder-volume or a gateway; '
            'compute: it runs nova-compute; default: what is installed and '
            'configured')
        parser.add_argument(
            '--all', action='store_true', help='show what is well, too')
        parser.add_argument(
            '--fix', action='store_true',
            help='do what is safe: load kernel modules, install missing and '
            'outdated files of mydriver setup that nobody has changed, '
            'correct owners and modes of own files; services are not started '
            'or restarted; then check again')
        parser.add_argument(
            '--quiet', action='store_true',
            help='print one line only, for monitoring')
        parser.add_argument(
            '--config-file', action='append', default=[], metavar='FILE',
            type=os.path.abspath,
            help='configuration file of the service; can be repeated; needs '
            'the kind of host; default: as for mydriver setup')
        parser.add_argument(
            '--config-dir', action='append', default=[], metavar='DIR',
            type=os.path.abspath,
            help='directory with more *.conf files; can be repeated; needs '
            'the kind of host')
        return parser

    def run(self, parsed_args: argparse.Namespace) -> int:
        """Check; return the exit status."""
        try:
            return self._run(parsed_args)
        except exception.MyDriverError as e:
            self._fail(parsed_args, str(e))
        except BrokenPipeError:
            raise  # nobody reads the output any more
        except Exception as e:
            # cliff would return 1, which monitoring takes for a warning.
            LOG.debug('Failed to check', exc_info=True)
            self._fail(parsed_args, f'mydriver doctor failed: '
                       f'{type(e).__name__}: {e}')
        return _UNKNOWN

    def _fail(self, parsed_args: argparse.Namespace, problem: str) -> None:
        """Say why nothing was checked; monitoring reads the output only."""
        if self._is_short(parsed_args):
            print(f'MYDRIVER UNKNOWN - {tables.safe_line(problem)}',
                  file=self.app.stdout)
        else:
            print(problem, file=self.app.stderr)

    def _is_short(self, parsed_args: argparse.Namespace) -> bool:
        return parsed_args.quiet or not self.app.options.verbose_level

    def _run(self, parsed_args: argparse.Namespace) -> int:
        found = self._check(parsed_args)
        # As cliff's own run() does.
        self.formatter = self._formatter_plugins[parsed_args.formatter].obj
        if self._is_short(parsed_args):
            print(one_line(found), file=self.app.stdout)
        else:
            self._print(parsed_args, found)
        self.app.stdout.flush()
        return findings.exit_status(found)

    def take_action(self, parsed_args: argparse.Namespace
                    ) -> tuple[tuple[str, ...], list[Row]]:
        """Return the columns and the rows; :meth:`run` prints them."""
        return ALL_COLUMNS, [_fields(f) for f in self._check(parsed_args)]

    def _check(self, parsed_args: argparse.Namespace) -> list[Finding]:
        """Check, and mend what is asked for.

        :raises ConfigurationError: when the arguments do not suffice.
        """
        named = parsed_args.config_file or parsed_args.config_dir
        if named and not parsed_args.kind:
            raise exception.ConfigurationError(
                '--config-file, --config-dir', 'they belong to one kind of '
                'host', 'Name it: storage or compute.')
        _check_named(parsed_args)
        if parsed_args.fix and os.geteuid():
            raise exception.ConfigurationError(
                '--fix', 'only root can change this host',
                'Run the command as root.')
        wanted = ([parsed_args.kind] if parsed_args.kind
                  else kinds.detect(ROOT))
        if not wanted:
            raise exception.ConfigurationError(
                'storage|compute', 'neither cinder nor nova is installed '
                'beside this command and configured on this host',
                'Name the kind of host, or run the mydriver of the '
                "service's environment.")
        found = self._examine(wanted, parsed_args)
        if parsed_args.fix and any(f.found.fix for f in found):
            for done in examine.fix(found):
                print(f'fix: {done}', file=self.app.stderr)
            found = self._examine(wanted, parsed_args)
        return found

    @staticmethod
    def _examine(wanted: Sequence[str], parsed_args: argparse.Namespace
                 ) -> list[Finding]:
        return [finding for kind in wanted for finding in examine.examine(
            kinds.describe(ROOT, kind, parsed_args.config_file,
                           parsed_args.config_dir), list(CHECKS.values()))]

    def _print(self, parsed_args: argparse.Namespace,
               found: Sequence[Finding]) -> None:
        """Print what was found as the table, or in another format."""
        shown = [f for f in found
                 if parsed_args.all or f.severity is not Severity.OK]
        if parsed_args.formatter != 'table':
            self.produce_output(parsed_args, ALL_COLUMNS,
                                [_fields(f) for f in shown])
            return
        if shown:
            self.produce_output(parsed_args, COLUMNS, [
                (f.severity.value, f.check.id,
                 textwrap.fill(tables.safe_line(f.found.what),
                               _WHAT_CHARACTERS))
                for f in shown])
        self._print_remedies(shown)
        print(summary(found), file=self.app.stdout)

    def _print_remedies(self, shown: Sequence[Finding]) -> None:
        """Print why it matters and what to run, each in a line to copy."""
        last = None
        printed = set()
        for finding in shown:
            key = finding.check.id, finding.found.remedy
            if not finding.found.remedy or key in printed:
                continue
            printed.add(key)
            if finding.check != last:
                print(f'\n{finding.check.id}: {finding.check.why}',
                      file=self.app.stdout)
                last = finding.check
            safe = '  # or --fix' if finding.found.fix else ''
            print(f'    {tables.safe_line(finding.found.remedy)}{safe}',
                  file=self.app.stdout)
        if last:
            print(file=self.app.stdout)


def _check_named(parsed_args: argparse.Namespace) -> None:
    """Check that the configuration that was named is there.

    :raises ConfigurationError: if it is not.
    """
    for option, paths in (('--config-file', parsed_args.config_file),
                          ('--config-dir', parsed_args.config_dir)):
        for path in paths:
            try:
                (ROOT / path.lstrip('/')).stat()
            except (FileNotFoundError, NotADirectoryError) as e:
                raise exception.ConfigurationError(
                    option, f'{tables.shown(path)} does not '
                    'exist', 'Name what the service reads.') from e
            except OSError:
                continue  # a check tells of it


def _fields(finding: Finding) -> Row:
    found = finding.found
    return (finding.kind, finding.check.id, found.severity.value,
            tables.safe_line(found.what), finding.check.why,
            tables.safe_line(found.remedy),
            found.fix is not None)


def summary(found: Sequence[Finding]) -> str:
    """Return the numbers of findings in a line."""
    counted = Counter(f.severity for f in found)
    kinds_seen = ' and '.join(dict.fromkeys(f.kind for f in found))
    return f'{kinds_seen} host: ' + ', '.join(
        f'{counted[s]} {s.value}' for s in reversed(Severity))


def one_line(found: Sequence[Finding]) -> str:
    """Return what a plugin of Nagios prints."""
    status = findings.exit_status(found)
    worst = [f.check.id for f in found if f.severity in (
        Severity.ERROR, Severity.WARNING, Severity.UNKNOWN)]
    return (f'MYDRIVER {findings.WORDS[status]} - {summary(found)}'
            + (f': {", ".join(dict.fromkeys(worst))}' if worst else ''))

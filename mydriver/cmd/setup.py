# SPDX-License-Identifier: Apache-2.0
"""``mydriver setup``: the files that a host needs beside the package."""

import argparse
from collections.abc import Sequence
import os
from typing import TextIO

from cliff import command

from mydriver import exception
from mydriver.hostfiles import (
    activation,
    catalogue,
    choices,
    installing,
    manifest,
    planning,
    removing,
)
from mydriver.hostfiles import root as roots
from mydriver.hostfiles.planning import State

#: Exit statuses.
SAME, DIFFERS, ERROR = 0, 1, 2

_REMAINING = 'Remaining commands, as systemd does not run there:'


class Setup(command.Command):
    """Install the files that a host needs beside the package.

    Units of systemd, rules for sudo and udev, kernel modules, directories,
    settings of multipathd, and a sample configuration. By default, shows as a
    diff what --install would change, and changes nothing.

    Options are remembered by --install, so later calls need not repeat them.

    The exit status is 0 when nothing is left to do but what is listed, 1 when
    files differ, are kept because somebody has changed them, or when a command
    failed, and 2 for errors.
    """

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """Return the argument parser."""
        parser: argparse.ArgumentParser = super().get_parser(prog_name)
        parser.add_argument(
            'kind', choices=choices.KINDS,
            help='storage: this host runs cinder-volume or a gateway; '
            'compute: it runs nova-compute')
        _add_actions(parser)
        _add_options(parser)
        return parser

    def run(self, parsed_args: argparse.Namespace) -> int:
        """Do what is asked for; return the exit status."""
        try:
            return self.take_action(parsed_args)
        except exception.MyDriverError as e:
            print(e, file=self.app.stderr)
            return ERROR

    def take_action(self, parsed_args: argparse.Namespace) -> int:
        """Do what is asked for; return the exit status."""
        root = roots.Root(parsed_args.root)
        asked_to_write = parsed_args.install or parsed_args.remove
        if asked_to_write and root.is_host and os.geteuid():
            raise exception.ConfigurationError(
                '--install, --remove', 'only root can change this host',
                'Run the command as root, or name another --root.')
        made = manifest.load(root, parsed_args.kind)
        if parsed_args.remove:
            return _remove(root, parsed_args.kind, made, parsed_args.force,
                           self.app.stdout)
        made = made or manifest.Manifest(parsed_args.kind)
        options = choices.merge(vars(parsed_args), made.options)
        chosen = choices.choose(parsed_args.kind, options)
        files = catalogue.files(chosen)
        if parsed_args.print:
            _print(files, self.app.stdout)
            return SAME
        if not parsed_args.install:
            return _show(root, made, chosen, planning.plan(root, made, files),
                         self.app.stdout)
        if chosen.stores:
            # Their default depends on other options, which may change.
            options['store'] = list(chosen.stores)
        made.options = options
        if not parsed_args.force:
            _refuse_gateway(root, made, files, '--no-gateway')
        done = installing.install(root, made, files,
                                  catalogue.folders(chosen),
                                  parsed_args.force)
        return _activate(root, made, chosen, done, self.app.stdout)


def _add_actions(parser: argparse.ArgumentParser) -> None:
    actions = parser.add_mutually_exclusive_group()
    actions.add_argument('--print', action='store_true',
                         help='print the files in full')
    actions.add_argument('--install', action='store_true',
                         help='put the files in place')
    actions.add_argument('--remove', action='store_true',
                         help='take back what --install has made')
    parser.add_argument(
        '--force', action='store_true',
        help='with --install, overwrite files that are not from this command '
        'or were changed since, and keep copies; with --remove, remove '
        'changed files as well')
    parser.add_argument(
        '--root', default='/', metavar='DIR',
        help="directory with another system's files, such as an image; "
        'default: /')


def _add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        '--user', metavar='NAME',
        help='user that the service runs as; default: cinder or nova; root '
        'needs no rule for sudo')
    parser.add_argument(
        '--bindir', metavar='DIR',
        help='directory of mydriver and privsep-helper; default: that of the '
        'interpreter, or where PATH has them')
    parser.add_argument(
        '--helper', metavar='FILE',
        help='privsep-helper, if it is elsewhere than mydriver')
    parser.add_argument(
        '--config-file', action='append', metavar='FILE',
        help='configuration file of the service, as helper_command names it; '
        'can be repeated; default: /etc/cinder/cinder.conf or '
        '/etc/nova/nova.conf')
    storage = parser.add_argument_group('options for storage hosts')
    storage.add_argument(
        '--store', action='append', choices=choices.STORES,
        help='kind of store; can be repeated, and replaces those of earlier '
        'calls; default: reflink, with --gateway rbd')
    storage.add_argument(
        '--store-path', action='append', metavar='DIR',
        help='directory of stores, which has to be mounted before exports '
        'are restored; can be repeated; default with reflink: /srv/mydriver')
    storage.add_argument(
        '--state-path', metavar='DIR',
        help='state_path of cinder-volume; default: /var/lib/cinder')
    storage.add_argument(
        '--gateway', action=argparse.BooleanOptionalAction, default=None,
        help='this host runs mydriver gateway, which adds rbd to the stores '
        'of earlier calls; default: no')


def _print(files: Sequence[catalogue.HostFile], out: TextIO) -> None:
    for file in files:
        print(f'==> {file.path} (mode {file.mode:04o})\n'
              f'{file.content.decode()}', file=out)


def _show(root: roots.Root, made: manifest.Manifest,
          chosen: choices.Choices, changes: Sequence[planning.Change],
          out: TextIO) -> int:
    """Print the differences; return the exit status."""
    for change in changes:
        if change.state in (State.CHANGED, State.FOREIGN):
            print(f'{change.path}: {change.state.value}', file=out)
        if change.differs:
            print('\n'.join(planning.diff(change)), file=out)
    if any(c.differs for c in changes):
        return DIFFERS
    commands = ([] if made.activated
                else activation.after_install(root, chosen))
    if not commands:
        print('Nothing to do: all files are up to date.', file=out)
        return SAME
    print('All files are up to date.', file=out)
    if not activation.is_live(root):
        _list(_REMAINING, commands, out)
        return SAME
    _list('Commands for --install:', commands, out)
    return DIFFERS


def _activate(root: roots.Root, made: manifest.Manifest,
              chosen: choices.Choices, done: installing.Done, out: TextIO
              ) -> int:
    """Report what was done, and let the host use it."""
    for change in done.changed:
        print(f'{change.state.value}: {change.path}', file=out)
    for change in done.kept:
        print(f'kept: {change.path}: {change.state.value}', file=out)
    for path in done.copies:
        print(f'kept: copy of an earlier file: {path}', file=out)
    status = DIFFERS if done.kept else SAME
    if made.activated:
        print('Nothing to do: all other files are up to date.' if done.kept
              else 'Nothing to do: all files are up to date.', file=out)
        return status
    if not done.changed and not done.kept:
        print('All files are up to date.', file=out)
    commands = activation.after_install(root, chosen)
    failed = _execute(root, commands, out)
    if not failed and (not commands or activation.is_live(root)):
        made.activated = True
        made.save(root)
    _to_do(activation.manual_steps(root, chosen), out)
    return DIFFERS if failed else status


def _refuse_gateway(root: roots.Root, made: manifest.Manifest,
                    files: Sequence[catalogue.HostFile], option: str) -> None:
    """Refuse to take its unit from a gateway that runs.

    :param files: those that should be there.
    :param option: what asks for that.
    :raises ConfigurationError: when one would lose it.
    """
    if (activation.is_live(root)
            and catalogue.GATEWAY_UNIT not in {f.path for f in files}
            and activation.runs_gateway(made)):
        raise exception.ConfigurationError(
            option, f'{catalogue.GATEWAY} is running',
            'Run mydriver gateway drain and systemctl stop '
            f'{catalogue.GATEWAY} first, or use --force.')


def _remove(root: roots.Root, kind: str, made: manifest.Manifest | None,
            force: bool, out: TextIO) -> int:
    """Take back what was made; return the exit status."""
    if made is None:
        for path in removing.tidy(root, kind):
            print(f'kept: copy of an earlier file: {path}', file=out)
        print('Nothing to do: nothing was installed.', file=out)
        return SAME
    if not force:
        _refuse_gateway(root, made, (), '--remove')
    paths = list(made.files)
    done = removing.remove(root, made, force)
    for what, found in (
            ('removed', done.removed), ('restored', done.restored),
            ('kept: changed by somebody', done.kept),
            ('kept: copy of an earlier file', done.copies)):
        for path in found:
            print(f'{what}: {path}', file=out)
    failed = _execute(root, activation.after_remove(root, paths), out)
    _to_do(activation.steps_after_remove(
        root, [*done.removed, *done.restored]), out)
    return DIFFERS if failed or done.kept else SAME


def _to_do(steps: Sequence[str], out: TextIO) -> None:
    """List what is left to the operator."""
    if steps:
        print('To do:', file=out)
    for step in steps:
        print(f'* {step}.', file=out)


def _list(title: str, commands: Sequence[Sequence[str]], out: TextIO) -> None:
    print(title, file=out)
    for one in commands:
        print(f'* {activation.text(one)}', file=out)


def _execute(root: roots.Root, commands: Sequence[Sequence[str]],
             out: TextIO) -> bool:
    """Run commands on a live host, or list them; return if one failed."""
    if not commands:
        return False
    if not activation.is_live(root):
        _list(_REMAINING, commands, out)
        return False
    failed = activation.execute(commands)
    for failure in failed:
        print(f'failed: {activation.text(failure.command)}: '
              f'{failure.reason}', file=out)
    return bool(failed)
